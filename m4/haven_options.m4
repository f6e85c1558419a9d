# SPDX-License-Identifier: GPL-2.0-or-later
# HAVEN_OPTIONS: what configure can be told. Adds to HAVEN_CXXFLAGS and HAVEN_LDFLAGS,
# sets the conditionals PRECOMPILED and FUZZING and, for the tests, HAVEN_FAILPOINTS.
AC_DEFUN([HAVEN_OPTIONS], [
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])])
AS_IF([test "$enable_werror" = yes], [HAVEN_CXXFLAGS="$HAVEN_CXXFLAGS -Werror"])

AC_ARG_ENABLE([sanitizers],
  [AS_HELP_STRING([--enable-sanitizers], [build with AddressSanitizer and UndefinedBehaviorSanitizer])])
AS_IF([test "$enable_sanitizers" = yes], [
  # A null pointer ends in AddressSanitizer's report all the same, and nothing here casts to classes:
  # these two checks take a third of the time to compile.
  HAVEN_SANITIZE="-fsanitize=address,undefined -fno-sanitize=null,vptr -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
  HAVEN_CXXFLAGS="$HAVEN_CXXFLAGS $HAVEN_SANITIZE"
  HAVEN_LDFLAGS="$HAVEN_LDFLAGS $HAVEN_SANITIZE"])

AC_ARG_ENABLE([thread-sanitizer],
  [AS_HELP_STRING([--enable-thread-sanitizer], [build with ThreadSanitizer])])
AS_IF([test "$enable_thread_sanitizer" = yes], [
  HAVEN_CXXFLAGS="$HAVEN_CXXFLAGS -fsanitize=thread -fno-omit-frame-pointer"
  HAVEN_LDFLAGS="$HAVEN_LDFLAGS -fsanitize=thread"])

AC_ARG_ENABLE([precompiled-header],
  [AS_HELP_STRING([--enable-precompiled-header],
    [read the standard library once for all files (needs g++; hides a missing include)])])
AM_CONDITIONAL([PRECOMPILED], [test "$enable_precompiled_header" = yes])

AC_ARG_ENABLE([fuzzing],
  [AS_HELP_STRING([--enable-fuzzing], [build the fuzzers with libFuzzer (needs CXX=clang++)])])
AM_CONDITIONAL([FUZZING], [test "$enable_fuzzing" = yes])

AC_ARG_ENABLE([failpoints],
  [AS_HELP_STRING([--enable-failpoints],
    [let HAVEN_KILL_AT and HAVEN_BREAK act: for the tests and the demo, not for packages])])
AS_IF([test "$enable_failpoints" = yes],
  [AC_DEFINE([HAVEN_FAILPOINTS], [1], [Test hooks in the environment are honoured.])])
])
