/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may run: a primary, its backup, an arbiter, and a world that cuts, loses, freezes and crashes.
 * docs/who-may-run.md has the rules in words, and what is left out here. tests/model/run checks it.
 *
 * Macros from outside choose the variant:
 *   ARBITER        both sides have one; else neither
 *   WHOLE_NETWORK  the link is never cut, and havend does not end while a guest that it has started runs
 *   LOSSY          single messages may be lost, too
 *   LIVE           no choices of an administrator that make a copy wait for a person
 *   BACKUP_CUT_OFF the arbiter never hears the backup
 *   FAULTS         how many there are at most: cuts, freezes, hangs, crashes, troubles that end a session, and orders of
 *                  persons
 *   SESSIONS       how many, one after the other
 *   BREAK_...      a planted error
 *
 * A step of a side is atomic, and needs a side that is up and not frozen: between any two steps
 * it may freeze or crash.
 */
#include "decision_table.h"

/* --- the primary ---------------------------------------------------------- */
#define P_DOWN 0
#define P_GATE 1      /* held before the first instruction */
#define P_ALONE 2     /* output leaves, nobody is asked */
#define P_SYNC 3      /* first copy of a session */
#define P_PROTECTED 4 /* output leaves as the backup commits */
#define P_DECIDES 5   /* after a loss, output is held */
#define P_HOLDS 6     /* --on-backup-loss pause */
#define P_HALTED 7
byte p = P_ALONE;
bool p_held;   /* output waits */
bool p_given;  /* the backup was told that the guest is its own */
bool p_stood;  /* this process, or its main thread, stood still since the question that was answered last */
bool p_stuck;  /* its main thread, or a disk of the guest, gets nowhere, while its other threads go on */
bool p_recorded;  /* a record says that it goes on alone; output is next */
byte f_backup = BACKUP_NOT_ASKED, f_arbiter = ARBITER_NONE;  /* facts of Decide() */

/* --- the backup ------------------------------------------------------------ */
#define B_DOWN 0
#define B_WAITING 1
#define B_SYNC 2
#define B_PROTECTING 3
#define B_LOST 4     /* holds a checkpoint, and does nothing by itself */
#define B_ASKS 5     /* promoting: asks the arbiter */
#define B_RECORDS 6  /* promoting: the new generation */
#define B_STARTS 7   /* promoting: activates the guest */
#define B_PROMOTED 8
#define B_FAILED 9
byte b = B_WAITING;
bool b_runs;        /* the guest's output leaves here */
bool b_checkpoint;  /* in memory */
bool b_whole;       /* replicas of a whole epoch, on disk */
bool b_noted;       /* a primary was told that it may go on without this side */
bool b_once;        /* the arbiter is asked once only */
bool b_hand;        /* the primary waits for an answer */
bool b_cold;        /* the guest is booted from the replicas */
bool b_was_ahead;   /* before the promotion */

/* --- both ------------------------------------------------------------------- */
bool p_frozen, b_frozen;
bool cut;
bool connected;      /* the connections of the session are open at both ends */
byte session;        /* its number is what the arbiter is asked about */
bool p_ahead, b_ahead;  /* records, on disk: a generation that the other side does not have */
bool life_ended;     /* records: both know that the last life ended by GOODBYE */
bool same_life;      /* the primary's life is that of the backup's checkpoint */

/* What the primary has said last on the control connection, and the backup has not read. */
#define SAID_NOTHING 0
#define SAID_ERROR 1       /* the primary goes on without this backup */
#define SAID_HANDED_OVER 2
byte said;
/* The answer to a hand-over. */
#define HAND_NONE 0
#define HAND_RUNS 1
#define HAND_REFUSED 2
byte hand;

/* A question of the primary to the backup, outside of the session, and its answer. */
#define Q_NONE 0
#define Q_SENT 1
#define Q_GONE 2  /* lost, or its answer is */
#define Q_RUNS 3
#define Q_BUSY 4
#define Q_NEWER 5
#define Q_CHECKPOINT 6
#define Q_GO 7
byte question;

/* The arbiter: who has won the session's name. A reply on its way to each side. */
#define NOBODY 0
#define PRIMARY 1
#define BACKUP 2
byte winner;
byte p_reply = ARBITER_NONE, b_reply = ARBITER_NONE;

/* --- what is only there to be checked ---------------------------------------- */
bool unheard;    /* the copy on the primary runs though nobody has confirmed that it may */
bool reachable;  /* when the primary's process went on after a freeze, the backup ran the guest and could have said so */
bool excused;    /* nothing runs by itself any more: two failures, or a person has to decide */
bool p_unanswered, b_unanswered;  /* the arbiter has just not answered */
byte faults;
#ifdef LIVE
#define EXCUSE excused = true
#else
#define EXCUSE skip
#endif
#define MAY_FAIL (faults < FAULTS)

#define P_ON (p != P_DOWN && !p_frozen)
#define P_MOVES (P_ON && !p_stuck)
#define B_ON (b != B_DOWN && !b_frozen)
#define P_IN_SESSION (p == P_SYNC || p == P_PROTECTED)
#define B_IN_SESSION (b == B_SYNC || b == B_PROTECTING)
#define B_PROMOTING (b == B_ASKS || b == B_RECORDS || b == B_STARTS)
#define B_IN_HAND (B_IN_SESSION || B_PROMOTING)
/* It is up and its kernel answers, frozen or not. */
#define HEARS_P (!cut && p != P_DOWN)
#define HEARS_B (!cut && b != B_DOWN)
#ifdef ARBITER
#define NO_ANSWER_YET ARBITER_NOT_ASKED
#else
#define NO_ANSWER_YET ARBITER_NONE
#endif

#define P_RUNS (p == P_ALONE || (p == P_SYNC && !p_held))
/* A protected primary lets out what the backup has committed only: what it has cannot differ from what the backup starts. */
#define SOME_COPY_RUNS (((P_RUNS || p == P_PROTECTED) && !p_stuck) || b_runs)

#ifdef WHOLE_NETWORK
#define AtMostOne() assert(!(P_RUNS && b_runs))
#else
#define AtMostOne() assert(!(P_RUNS && b_runs) || unheard)
#endif

/* Whoever asks first has won, for good. An answer may be lost after it was given. */
inline AskArbiter(side, reply) {
  if
  :: winner == NOBODY -> winner = side
  :: else
  fi;
  if
#ifdef BREAK_ARBITER_FORGETS
  :: true -> reply = ARBITER_WON
#else
  :: winner == side -> reply = ARBITER_WON
  :: winner != side -> reply = ARBITER_LOST
#endif
#if defined(BREAK_UNKNOWN_IS_WON)
  :: true -> reply = ARBITER_WON
#elif defined(BREAK_UNKNOWN_IS_LOST)
  :: true -> reply = ARBITER_LOST
#else
  :: true -> reply = ARBITER_UNKNOWN
#endif
  fi
}

inline SendQuestion() {
  p_stood = false;
  if
  :: HEARS_B -> question = Q_SENT
  :: !HEARS_B -> question = Q_GONE
#ifdef LOSSY
  :: HEARS_B -> question = Q_GONE
#endif
  fi
}

inline ForgetFacts() {
  p_unanswered = false;
  f_backup = BACKUP_NOT_ASKED;
  f_arbiter = ARBITER_NONE;
  p_reply = ARBITER_NONE;
  question = Q_NONE;
  p_stood = false;
  p_recorded = false;
  p_given = false;
  hand = HAND_NONE
}

inline GoAlone() {
  p = P_ALONE;
  p_held = false;
  p_ahead = true;
  ForgetFacts();
  AtMostOne()
}

/* Nobody takes over from a primary that is down, or stuck: its backup has failed, too. */
inline ExcuseTwo() {
  if
  :: p == P_DOWN || p_stuck -> EXCUSE
  :: else
  fi
}

/* What comes while the backup's process stands still waits for it in its host. */
#ifdef BREAK_DEAF_BACKUP
#define B_CAN_READ (connected && HEARS_B && B_IN_SESSION && !b_frozen)
#else
#define B_CAN_READ (connected && HEARS_B && B_IN_SESSION)
#endif

/* The connection has ended for the primary. It says so on it, if that still goes. */
inline LoseBackup() {
  if
  :: said == SAID_NOTHING && B_CAN_READ -> said = SAID_ERROR
#ifdef LOSSY
  :: true
#endif
  :: !(said == SAID_NOTHING && B_CAN_READ)
  fi;
  connected = false;
  hand = HAND_NONE;
  f_arbiter = NO_ANSWER_YET;
  p_stood = false;
  p = P_DECIDES
}

/* --- the primary's steps ------------------------------------------------------ */
byte step;  /* of Decide(), inside of one atomic step only */

inline TakeStep() {
  p_unanswered = false;
  if
  :: Decide(p_held, 0, p_given, f_backup, f_arbiter, step)
#ifndef LIVE
  :: Decide(p_held, 1, p_given, f_backup, f_arbiter, step)
#endif
  fi;
  if
  :: step == STEP_RETRY ->
     p = P_ALONE;
     ForgetFacts()
  :: step == STEP_HOLD ->
     p = P_HOLDS;
     ForgetFacts()
  :: step == STEP_ASK_BACKUP -> SendQuestion()
  :: step == STEP_ASK_ARBITER -> AskArbiter(PRIMARY, p_reply)
  :: step == STEP_HALT ->
     p = P_HALTED;
     ForgetFacts()
  :: step == STEP_RELEASE && !p_recorded ->
     p_ahead = true;
     p_recorded = true
  :: step == STEP_RELEASE && p_recorded ->
     p_recorded = false;
     if
#ifndef BREAK_STALE_ANSWER
     :: p_stood ->
        f_backup = BACKUP_NOT_ASKED;
        p_stood = false
     :: !p_stood ->
#else
     :: true ->
#endif
        assert(!reachable);
        if
        :: f_backup == BACKUP_SILENT && f_arbiter == ARBITER_NONE -> unheard = true
        :: else -> unheard = false
        fi;
        GoAlone()
     fi
  :: else -> assert(false)  /* a step that the model does not have */
  fi;
  step = 0
}

inline HearBackup() {
  if
  :: question == Q_RUNS || question == Q_NEWER -> f_backup = BACKUP_HAS_IT
  :: question == Q_BUSY -> f_backup = BACKUP_BUSY
  :: question == Q_GO -> f_backup = BACKUP_YIELDS
  :: question == Q_GONE || question == Q_CHECKPOINT -> f_backup = BACKUP_SILENT
  fi;
#ifdef BREAK_FROZEN_SILENCE
  p_stood = false;
#endif
  question = Q_NONE
}

/* Nobody says whether the backup's copy is newer. */
inline GateWithoutAnswer() {
  if
  :: life_ended -> GoAlone()
#ifndef LIVE
  /* --on-start wait */
  :: !life_ended
#ifndef WHOLE_NETWORK
  /* --on-start start */
  :: !life_ended ->
     unheard = true;
     GoAlone()
#endif
#endif
#ifdef ARBITER
  /* --on-start arbiter */
  :: !life_ended ->
#ifdef BREAK_GATE_OPEN
     GoAlone()
#else
     AskArbiter(PRIMARY, p_reply)
#endif
#endif
  fi
}

proctype Primary() {
  end: do
  /* A session begins: both sides have compared their records (RuleOnSession). */
  :: atomic { P_MOVES && B_ON && !cut && (p == P_ALONE || p == P_HOLDS) && session < SESSIONS && !B_IN_HAND &&
              !b_runs && !b_ahead && !(b_checkpoint && !same_life && !life_ended) ->
     session++;
     winner = NOBODY;
     connected = true;
     said = SAID_NOTHING;
     p_ahead = false;
     life_ended = false;
     same_life = true;
     unheard = false;
     b = B_SYNC;
     b_checkpoint = false;
     b_whole = false;
     b_noted = false;
     p = P_SYNC }
  /* ... or it hears why not. */
  :: atomic { P_MOVES && B_ON && !cut && (p == P_ALONE || p == P_HOLDS) && b_runs -> p = P_HALTED }
  :: atomic { P_MOVES && B_ON && !cut && p == P_HOLDS && !B_IN_HAND && b_ahead -> p = P_HALTED }
  /* The first checkpoint is cut: from here on the backup may come to hold one. */
  :: atomic { P_MOVES && p == P_SYNC && connected && !cut -> p = P_PROTECTED; p_held = true }
  /* The connection ends: closed at the other end, silence, or trouble of its own. */
  :: atomic { P_ON && P_IN_SESSION && hand == HAND_NONE &&
              (!connected || cut || b == B_DOWN || b_frozen || !B_IN_SESSION && !(p_given && B_PROMOTING)) ->
     LoseBackup() }
  :: atomic { P_ON && P_IN_SESSION && hand == HAND_NONE && MAY_FAIL -> faults++; LoseBackup() }
#ifndef LIVE
  /* Protection ends by a person's order, and the backup has heard it. */
  :: atomic { P_ON && B_ON && !cut && connected && p == P_PROTECTED && b == B_PROTECTING && !p_given && said == SAID_NOTHING && MAY_FAIL ->
     faults++;
     connected = false;
     b = B_WAITING;
     b_checkpoint = false;
     life_ended = true;
     GoAlone() }
  /* The guest is handed over by a person's order. */
  :: atomic { P_MOVES && !cut && connected && p == P_PROTECTED && b == B_PROTECTING && !p_given && said == SAID_NOTHING && MAY_FAIL ->
     faults++;
     p_given = true;
     said = SAID_HANDED_OVER }
#endif
  :: atomic { P_MOVES && p == P_PROTECTED && p_given && hand == HAND_RUNS -> p = P_HALTED; ForgetFacts(); connected = false }
  :: atomic { P_ON && p == P_PROTECTED && p_given && hand == HAND_REFUSED -> p_given = false; LoseBackup() }
  /* After a loss. Who cannot act must not win. */
#ifdef BREAK_STUCK_ASKS
  :: atomic { P_ON && p == P_DECIDES && question == Q_NONE && p_reply == ARBITER_NONE && f_arbiter == ARBITER_NOT_ASKED -> TakeStep() }
#endif
  :: atomic { P_MOVES && p == P_DECIDES && question == Q_NONE && p_reply == ARBITER_NONE -> TakeStep() }
  :: atomic { P_ON && p == P_DECIDES && question > Q_SENT -> HearBackup() }
  :: atomic { P_ON && p == P_DECIDES && p_reply != ARBITER_NONE ->
     f_arbiter = p_reply;
     p_unanswered = (p_reply == ARBITER_UNKNOWN);
     p_reply = ARBITER_NONE }
  /* The deadline of a question. */
  :: atomic { P_ON && question == Q_SENT && (cut || b == B_DOWN || b_frozen) -> question = Q_GONE }
  /* The start gate. */
  :: atomic { P_ON && p == P_GATE && question == Q_NONE && p_reply == ARBITER_NONE ->
     p_unanswered = false;
     SendQuestion() }
  :: atomic { P_ON && p == P_GATE && question == Q_GO -> unheard = false; GoAlone() }
  :: atomic { P_ON && p == P_GATE && question == Q_GONE -> question = Q_NONE; GateWithoutAnswer() }
  :: atomic { P_ON && p == P_GATE && question > Q_GONE && question != Q_GO -> question = Q_NONE }
  :: atomic { P_ON && p == P_GATE && p_reply == ARBITER_WON -> unheard = false; GoAlone() }
  :: atomic { P_ON && p == P_GATE && p_reply > ARBITER_NONE && p_reply != ARBITER_WON ->
     p_unanswered = (p_reply == ARBITER_UNKNOWN);
     p_reply = ARBITER_NONE }
  od
}

/* --- the backup's steps --------------------------------------------------------- */
/* Begins a promotion. */
inline Promote(once, cold, handed_over) {
  b = B_ASKS;
  b_once = once;
  b_cold = cold;
  b_hand = handed_over
}

/* A primary that waits for the answer to a hand-over has it, if its connection still is there. */
inline AnswerHandOver(answer) {
  if
  :: b_hand && connected && !cut && p != P_DOWN -> hand = answer
  :: else
  fi;
  if
  :: b_hand -> connected = false
  :: else
  fi;
  b_hand = false
}

/* Nothing of a promotion counts any more. */
inline PromotionEnds() {
  b_once = false;
  b_cold = false;
  b_was_ahead = false
}

inline NotPromoted() {
  if
  :: b_cold -> b = B_WAITING
  :: else -> b = B_LOST
  fi;
  PromotionEnds();
  AnswerHandOver(HAND_REFUSED)
}

/* Before it answers: nobody starts the guest here from now on without knowing. */
inline Yield() {
  b_noted = true;
  question = Q_GO
}

#define ANOTHER_LIFE_WAITS (!p_ahead && b_checkpoint && !same_life && !life_ended)
inline AnswerQuestion() {
  if
  :: b_runs -> question = Q_RUNS
  :: !b_runs && B_IN_HAND -> question = Q_BUSY
  :: !b_runs && !B_IN_HAND && b_ahead -> question = Q_NEWER
  :: !b_runs && !B_IN_HAND && !b_ahead ->
     if
     :: ANOTHER_LIFE_WAITS ->
        question = Q_CHECKPOINT;
        EXCUSE  /* a person decides */
#ifndef LIVE
     /* on-new-life = discard */
     :: ANOTHER_LIFE_WAITS ->
        b_checkpoint = false;
        b = B_WAITING;
        Yield()
#endif
     :: !ANOTHER_LIFE_WAITS -> Yield()
     fi
  fi
}

/* A thread of its own. */
proctype BackupAnswers() {
  end: do
  :: atomic { B_ON && !cut && question == Q_SENT -> AnswerQuestion() }
  od
}

proctype Backup() {
  end: do
  /* COMMITTED of the first checkpoint. */
  :: atomic { B_ON && b == B_SYNC && p == P_PROTECTED && connected && !cut ->
     b = B_PROTECTING;
     b_checkpoint = true;
     b_whole = true }
  /* The session ends: the primary has said why ... */
  :: atomic { B_ON && B_IN_SESSION && said == SAID_ERROR ->
     said = SAID_NOTHING;
     connected = false;
     ExcuseTwo();
     if
     :: b == B_SYNC -> b = B_WAITING
     :: b == B_PROTECTING -> b = B_LOST
     fi }
  :: atomic { B_ON && b == B_PROTECTING && said == SAID_HANDED_OVER -> said = SAID_NOTHING; Promote(true, false, true) }
  /* ... or is silent, or gone. */
  :: atomic { B_ON && B_IN_SESSION && said == SAID_NOTHING && (!connected || cut || p == P_DOWN || p_frozen) ->
     connected = false;
     if
     :: b == B_SYNC -> b = B_WAITING
     :: b == B_PROTECTING -> Promote(false, false, false)
#ifndef LIVE
     /* promote = manual */
     :: b == B_PROTECTING -> b = B_LOST
#endif
     fi }
#ifdef ARBITER
  /* ... or answers, and gets nowhere: on-stuck = take-over. It may move again at any moment. */
  :: atomic { P_ON && B_ON && b == B_PROTECTING && said == SAID_NOTHING && connected && !cut && p_stuck ->
     connected = false;
     Promote(false, false, false);
#ifdef BREAK_STUCK_UNASKED
     b = B_RECORDS
#endif
     }
#endif
  /* ... or there is trouble here. */
  :: atomic { B_ON && B_IN_SESSION && MAY_FAIL && said == SAID_NOTHING ->
     faults++;
     connected = false;
     ExcuseTwo();
     if
     :: b == B_SYNC -> b = B_WAITING
     :: b == B_PROTECTING -> b = B_LOST
     fi }
  /* A promotion. */
#ifdef ARBITER
  :: atomic { B_ON && b == B_ASKS && b_reply == ARBITER_NONE ->
     b_unanswered = false;
#ifdef BACKUP_CUT_OFF
     b_reply = ARBITER_UNKNOWN }
#else
     AskArbiter(BACKUP, b_reply) }
#endif
  :: atomic { B_ON && b == B_ASKS && b_reply != ARBITER_NONE ->
     if
     :: b_reply == ARBITER_WON -> b = B_RECORDS
     :: b_reply == ARBITER_LOST || b_reply == ARBITER_UNKNOWN && b_once -> NotPromoted()
     :: b_reply == ARBITER_UNKNOWN && !b_once -> b_unanswered = true
     fi;
     b_reply = ARBITER_NONE }
#else
  :: atomic { B_ON && b == B_ASKS -> b = B_RECORDS }
#endif
  :: atomic { B_ON && b == B_RECORDS ->
     b_was_ahead = b_ahead;
     b_ahead = true;
     b = B_STARTS }
  :: atomic { B_ON && b == B_STARTS ->
     b = B_PROMOTED;
     b_runs = true;
     PromotionEnds();
     AtMostOne();
     AnswerHandOver(HAND_RUNS) }
  :: atomic { B_ON && b == B_STARTS && MAY_FAIL ->
     faults++;
     EXCUSE;
     b_ahead = b_was_ahead;
     if
     :: b_cold -> b = B_WAITING; b_checkpoint = false
     :: else -> b = B_FAILED
     fi;
     PromotionEnds();
     AnswerHandOver(HAND_REFUSED) }
#if !defined(LIVE) && !defined(WHOLE_NETWORK)
  /* Orders of a person, without --force. Without an arbiter, the person has to know that the primary is gone. */
  :: atomic { B_ON && (b == B_LOST || b == B_FAILED) && b_checkpoint && !b_noted && MAY_FAIL -> faults++; Promote(true, false, false) }
  :: atomic { B_ON && b == B_ASKS && !b_once -> b_once = true }
  :: atomic { B_ON && !B_IN_HAND && !b_runs && b_whole && (!b_checkpoint || b == B_FAILED) && !b_noted && !life_ended && MAY_FAIL ->
     faults++;
     Promote(true, true, false) }
#endif
  od
}

/* --- the world --------------------------------------------------------------------- */
inline CrashPrimary() {
  faults++;
#ifdef BACKUP_CUT_OFF
  /* The start gate waits for a busy backup, which has the newer state. */
  EXCUSE;
#endif
  if
  :: winner == PRIMARY ||
     !(b == B_PROTECTING && said == SAID_NOTHING || B_PROMOTING || b_runs) -> EXCUSE
  :: else
  fi;
  p = P_DOWN;
  p_frozen = false;
  p_stuck = false;
  p_held = false;
  connected = false;
  same_life = false;
  unheard = false;
  ForgetFacts()
}

/* Its heartbeats go on. */
inline StickPrimary() {
  faults++;
#ifdef BACKUP_CUT_OFF
  /* Nobody can take over. */
  EXCUSE;
#endif
  if
  :: winner == PRIMARY ||
     !(b == B_PROTECTING && said == SAID_NOTHING || B_PROMOTING || b_runs) -> EXCUSE
  :: else
  fi;
  p_stuck = true;
  p_stood = true;
  reachable = false
}

inline CrashBackup() {
  faults++;
  if
  :: winner == BACKUP || B_PROMOTING || b_runs || p == P_DOWN || p == P_HALTED || p_stuck -> EXCUSE
  :: else
  fi;
  b = B_DOWN;
  b_frozen = false;
  b_checkpoint = false;
  b_hand = false;
  b_reply = ARBITER_NONE;
  b_unanswered = false;
  PromotionEnds();
#ifdef BREAK_NOTE_FORGOTTEN
  b_noted = false;
#endif
  connected = false;
  reachable = false;
  said = SAID_NOTHING
}

/*
 * Without an arbiter, a backup that stands still while it starts the guest has outlived the silence that it acts on;
 * one that stands still later cannot say that the guest runs.
 */
#if defined(ARBITER) || !defined(WHOLE_NETWORK) || defined(BREAK_FROZEN_PROMOTION)
#define B_MAY_FREEZE true
#else
#define B_MAY_FREEZE (!B_PROMOTING && !b_runs)
#endif

proctype World() {
  end: do
  :: atomic { P_ON && MAY_FAIL -> faults++; p_frozen = true; p_stood = true; reachable = false }
  :: atomic { B_ON && MAY_FAIL && B_MAY_FREEZE -> faults++; b_frozen = true; reachable = false }
  :: atomic { P_MOVES && MAY_FAIL && (p == P_ALONE || P_IN_SESSION || p == P_DECIDES) -> StickPrimary() }
#ifdef ARBITER
  :: atomic { p_stuck -> p_stuck = false }
#else
  :: atomic { p_stuck -> p_stuck = false; reachable = (P_ON && p == P_DECIDES && b_runs && B_ON && !cut) }
#endif
#ifndef WHOLE_NETWORK
  :: atomic { !cut && MAY_FAIL ->
     faults++;
     cut = true;
     reachable = false;
     /* What is on its way may be lost. */
     if
     :: said = SAID_NOTHING
     :: true
     fi;
     if
     :: question != Q_NONE -> question = Q_GONE
     :: true
     fi;
     if
     :: hand != HAND_NONE -> hand = HAND_NONE
     :: true
     fi }
  :: atomic { cut -> cut = false }
#endif
  :: atomic { p != P_DOWN && MAY_FAIL -> CrashPrimary() }
  :: atomic { b != B_DOWN && MAY_FAIL -> CrashBackup(); b_runs = false }
#ifndef WHOLE_NETWORK
  /* havend ends; a guest that it has started runs on. */
  :: atomic { b != B_DOWN && b_runs && MAY_FAIL -> CrashBackup() }
#endif
  :: atomic { p == P_DOWN ->
     if
     :: session > 0 -> p = P_GATE
     :: else -> p = P_ALONE
     fi }
  :: atomic { b == B_DOWN ->
     if
     :: b_runs -> b = B_PROMOTED
     :: else -> b = B_WAITING
     fi }
#ifdef LIVE
  /* Links need not heal, hosts need not come back. */
  :: true -> break
#endif
  od
}

/* No freeze is for ever. */
proctype Time() {
  end: do
#ifdef ARBITER
  :: atomic { p_frozen -> p_frozen = false }
#else
  :: atomic { p_frozen -> p_frozen = false; reachable = (p == P_DECIDES && b_runs && B_ON && !cut) }
#endif
  :: atomic { b_frozen -> b_frozen = false }
  od
}

#ifdef LIVE
/* With fairness, spin looks for cycles of steps only: where nobody else has a step to take, this is one. */
proctype Idle() {
  do
  :: FAULTS > 0 -> skip
  od
}
#endif

init {
  atomic {
    run Primary();
    run Backup();
    run BackupAnswers();
    run World();
    run Time()
#ifdef LIVE
    ;
    run Idle()
#endif
  }
}

#ifdef LIVE
/* Both sides get an answer of the arbiter, in the end, when they ask. */
ltl some_copy_runs { (!([]<>p_unanswered) && !([]<>b_unanswered)) -> <>[](SOME_COPY_RUNS || excused) }
/* Only the primary does: its host has not crashed. */
ltl primary_runs { !([]<>p_unanswered) -> <>[](SOME_COPY_RUNS || excused) }
#endif
