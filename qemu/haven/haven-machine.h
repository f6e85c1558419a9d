/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the machine is described, in haven-machine*.c: lines of text. */
#ifndef HAVEN_MACHINE_H
#define HAVEN_MACHINE_H

#include "qapi/qmp/qobject.h"
#include "qom/object.h"

/* haven-machine-lines.c.  @property: NULL: of the thing itself. */
void haven_say(GPtrArray *lines, const char *thing, const char *property,
               const char *value);
void haven_say_number(GPtrArray *lines, const char *thing,
                      const char *property, uint64_t value);
void haven_say_if(GPtrArray *lines, const char *thing, const char *property,
                  bool value);
/* Nothing if the guest sees nothing of it. */
void haven_say_property(GPtrArray *lines, const char *thing, Object *obj,
                        const char *property);
/* Whether the guest sees it, and it does not change while the guest runs. */
bool haven_is_of_guest(const char *property);
/* The caller frees it; NULL: it is more than one value, or none. */
char *haven_scalar_text(QObject *value);
int haven_compare_lines(gconstpointer a, gconstpointer b);

/* haven-machine-devices.c: all devices but vCPUs. */
void haven_say_devices(GPtrArray *lines);

#endif
