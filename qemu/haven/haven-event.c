/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor is told without having asked; see qapi/haven.json. */
#include "qemu/osdep.h"
#include "qapi/qapi-events-haven.h"
#include "haven-int.h"

void haven_event_state(const struct haven_status *status)
{
    bool has_message = status->reason[0];

    qapi_event_send_haven_state((HavenState)status->state, has_message,
                                has_message ? status->reason : NULL);
}

void haven_event_held(const char *why)
{
    qapi_event_send_haven_state(why ? HAVEN_STATE_HELD : HAVEN_STATE_STOPPED,
                                !!why, why);
}
