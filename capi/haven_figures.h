/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For haven.h in this tree. Installed is the table itself, beside haven.h. */
#include "session/haven_figures.h"
