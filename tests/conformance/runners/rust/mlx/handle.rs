//! Who frees a handle: its `Owned`, once.

use std::os::raw::c_int;

use super::error::{check, Result};

/// A struct of one pointer that C gives and frees.
pub trait Handle: Copy {
    const EMPTY: Self;

    /// # Safety
    /// Nobody uses the handle afterwards.
    unsafe fn free(self);
}

/// A handle that is freed when its owner goes. Freeing an empty one does nothing.
///
/// A handle is a raw pointer, so that what owns one is neither `Send` nor `Sync` unless it says so.
pub struct Owned<H: Handle>(H);

impl<H: Handle> Owned<H> {
    /// What a call of C puts into an empty place; the status tells whether it did.
    pub fn given(call: impl FnOnce(*mut H) -> c_int) -> Result<Self> {
        let mut owner = Owned::empty();
        check(call(owner.place()))?;
        Ok(owner)
    }

    /// Two results of one call.
    pub fn two(call: impl FnOnce(*mut H, *mut H) -> c_int) -> Result<(Self, Self)> {
        let mut second = Owned::empty();
        let first = Owned::given(|first| call(first, second.place()))?;
        Ok((first, second))
    }

    pub fn empty() -> Self {
        Owned(H::EMPTY)
    }

    /// Where a call of C puts its result.
    pub fn place(&mut self) -> *mut H {
        &mut self.0
    }

    /// Take over a handle that C returned by value.
    ///
    /// # Safety
    /// Nobody else frees it.
    pub unsafe fn from_raw(handle: H) -> Self {
        Owned(handle)
    }

    /// The handle, which lives as long as its owner does.
    pub fn raw(&self) -> H {
        self.0
    }
}

impl<H: Handle> Drop for Owned<H> {
    fn drop(&mut self) {
        unsafe { self.0.free() }
    }
}
