# SPDX-License-Identifier: GPL-2.0-or-later
"""C sources like those of a kernel's drivers, and their Makefile: make_sources.py FOLDER

Each unit includes system headers and a header of its own project, and has functions that parse,
hash, walk lists and run state machines, no two of them with the same numbers."""
import random
import sys
from pathlib import Path

UNITS, FUNCTIONS, STRUCTURES = 40, 5, 40
HEADERS = ("errno.h", "limits.h", "netinet/in.h", "pthread.h", "signal.h", "stdint.h", "stdio.h",
           "stdlib.h", "string.h", "sys/socket.h", "sys/stat.h", "time.h", "unistd.h")
MAKEFILE = """\
CFLAGS = -O2 -Wall -Wno-format-truncation -MMD -fno-strict-aliasing
vpath %.c /bench/source
OBJECTS = {objects}
all: $(OBJECTS)
%.o: %.c
\t@$(CC) $(CFLAGS) -c -o $@ $< && echo $@
clean:
\t@rm -f *.o *.d
.PHONY: all clean
"""
FUNCTIONS_OF = ("""\
static uint32_t {name}(const struct part{s} *part, const uint8_t *bytes, size_t count)
{{
	uint32_t hash = {a}u ^ part->id;

	while (count >= 4) {{
		uint32_t word;

		memcpy(&word, bytes, sizeof word);
		hash = (hash ^ word) * {b}u;
		hash ^= hash >> {shift};
		bytes += 4;
		count -= 4;
	}}
	for (; count; count--, bytes++)
		hash = (hash + *bytes) * {a}u;
	return hash % {b}u;
}}
""", """\
static int {name}(struct part{s} *head, int wanted, struct part{s} **found)
{{
	struct part{s} *at, *last = NULL;

	for (at = head; at; last = at, at = at->next) {{
		if (at->flags & (1u << {shift}))
			continue;
		if (at->id == (uint32_t)wanted || at->values[{shift} % 8] == {a}) {{
			if (last && at->length > {shift})
				last->next = at->next;
			*found = at;
			return 0;
		}}
		if (at->length < 0)
			return -EINVAL;
		at->values[at->id % 8] += last ? last->length : {shift};
	}}
	return -ENOENT;
}}
""", """\
static int {name}(struct part{s} *part, const char *text)
{{
	enum {{ kBegin, kName, kNumber, kEnd }} state = kBegin;
	long number = 0;
	int errors = 0;

	for (; *text && state != kEnd; text++) {{
		switch (state) {{
		case kBegin:
			state = *text == '#' ? kEnd : *text >= '0' && *text <= '9' ? kNumber : kName;
			break;
		case kName:
			if (*text == '=')
				state = kNumber;
			else if (*text < ' ')
				errors++;
			break;
		case kNumber:
			if (*text >= '0' && *text <= '9')
				number = number * 10 + (*text - '0');
			else if (*text == ',')
				part->values[number % 8] = number + {a};
			else
				state = kBegin;
			break;
		case kEnd:
			break;
		}}
	}}
	part->length = (int)number;
	snprintf(part->name, sizeof part->name, "{name}-%ld-%d", number, errors);
	return errors ? -EPROTO : 0;
}}
""", """\
static long {name}(struct part{s} *parts, unsigned count)
{{
	long sum = {shift};
	unsigned i, j;

	for (i = 0; i < count; i++) {{
		struct part{s} *one = &parts[i];

		for (j = 0; j < 8; j++)
			sum += one->values[j] * (long)(j ^ {shift}u);
		if (sum > {a})
			sum -= (long)part{s}_weight(one);
		one->flags = (one->flags << {shift}) | (one->flags >> (32 - {shift}));
	}}
	qsort(parts, count, sizeof *parts, part{s}_compare);
	return sum;
}}
""")
STRUCTURE = """\
struct part{s} {{
	struct part{s} *next;
	uint32_t id, flags;
	int length;
	long values[8];
	char name[{size}];
	pthread_mutex_t lock;
	int (*probe)(struct part{s} *, const char *);
}};
static inline unsigned part{s}_weight(const struct part{s} *part)
{{
	return part->flags & {mask:#x}u ? (unsigned)part->length * {mask}u : (unsigned)strlen(part->name);
}}
static inline int part{s}_compare(const void *a, const void *b)
{{
	const struct part{s} *one = a, *other = b;

	return one->id < other->id ? -1 : one->id > other->id;
}}
"""
UNIT_END = """\
int unit{unit}_run(void *parts, const char *text, unsigned count)
{{
	int status = (int)count;

	(void)parts, (void)text;
{calls}	return status;
}}
"""
CALLS = ("\tstatus ^= (int){name}(parts, (const uint8_t *)text, count);\n",
         "\t{{\n\t\tstruct part{s} *found = NULL;\n\n\t\tstatus |= {name}(parts, status, &found);\n\t}}\n",
         "\tstatus |= {name}(parts, text);\n", "\tstatus += (int){name}(parts, count);\n")


def unit(number: int, rng: random.Random) -> str:
    lines = [f"#include <{header}>\n" for header in HEADERS] + ['#include "parts.h"\n\n']
    calls = ""
    for index in range(FUNCTIONS):
        kind = index % len(FUNCTIONS_OF)
        names = {"name": f"unit{number}_step{index}", "s": rng.randrange(STRUCTURES), "shift": rng.randrange(3, 29),
                 "a": rng.randrange(1 << 16, 1 << 31), "b": rng.randrange(1 << 16, 1 << 31) | 1}
        lines.append(FUNCTIONS_OF[kind].format(**names) + "\n")
        calls += CALLS[kind].format(**names)
    return "".join(lines) + UNIT_END.format(unit=number, calls=calls)


def main() -> None:
    folder, rng = Path(sys.argv[1]), random.Random(7)
    folder.mkdir()
    (folder / "parts.h").write_text("".join(
        STRUCTURE.format(s=number, size=rng.randrange(16, 128, 8), mask=rng.randrange(1, 255))
        for number in range(STRUCTURES)))
    for number in range(UNITS):
        (folder / f"unit{number}.c").write_text(unit(number, rng))
    objects = " ".join(f"unit{number}.o" for number in range(UNITS))
    (folder / "Makefile").write_text(MAKEFILE.format(objects=objects))


main()
