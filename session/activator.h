/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_ACTIVATOR_H
#define HAVEN_SESSION_ACTIVATOR_H

#include <string>

#include "core/status.h"
#include "memrep/guest_image.h"

namespace haven::session {

/// Runs the guest from an image. Implemented by havend for a waiting QEMU and for a stock xl.
/// Calls come one at a time, from any thread, but for EndTrial().
class Activator {
 public:
  virtual ~Activator() = default;
  /// Whether a guest may be started here: nothing else runs under its name. Touches nothing.
  /// @return kRefused with what runs, and what to do.
  virtual Status MayStart() = 0;
  /// A new image was laid out (all zero): start what waits for it. The image
  /// stays valid until Discard() or, after a successful Activate(), for ever.
  /// @return kRefused when it cannot be started as it is configured here.
  virtual Status Prepare(const memrep::GuestImage& image) = 0;
  /// Of what waits since Prepare(): what a guest can see of its machine, as MACHINE has it. Empty: it cannot say, and
  /// nothing is compared.
  virtual std::string Machine() { return ""; }
  /// Of what waits since Prepare(): whether the guest can go on from the image. It is loaded into what waits, which is
  /// thrown away; a fresh one waits when this returns. Takes the image's mutex while it reads.
  /// @return kRefused: what is configured here cannot load it.
  virtual Status TryLoad(const memrep::GuestImage& image) {
    (void)image;
    return Status::Ok();
  }
  /// While TryLoad() runs, from another thread: nobody waits for it any longer; it returns kTryAgain soon.
  virtual void EndTrial() {}
  /// The image has become that of another committed epoch; the next one may
  /// come at any time. On the memory connection's thread: must not block.
  virtual void Committed(const memrep::GuestImage& image) { (void)image; }
  /// Run the guest from the image now; Ok when it runs.
  virtual Status Activate(const memrep::GuestImage& image) = 0;
  /// Starts the guest from its disks alone, as a machine that is switched on. Nothing waits for an image. Ok when it
  /// runs.
  virtual Status Boot() = 0;
  /// Nobody waits for this image any more.
  virtual void Discard() = 0;
  /// Whether a guest that Activate() started still runs.
  virtual bool Running() = 0;
};

}  // namespace haven::session

#endif
