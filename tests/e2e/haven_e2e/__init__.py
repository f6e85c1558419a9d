# SPDX-License-Identifier: GPL-2.0-or-later
"""Harness of the end-to-end tests and of the demo."""
