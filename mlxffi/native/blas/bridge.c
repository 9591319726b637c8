/* The BLAS bridge: the BLAS and LAPACK functions that libmlx imports, forwarded to OpenBLAS.
 *
 * MLX's Linux wheels link Netlib's reference BLAS. Loaded into the global scope before libmlx, this library is found
 * first by the dynamic linker; each symbol here jumps to OpenBLAS's function of the same name and arguments
 * (scipy-openblas32 puts `scipy_` in front). A jump leaves registers and stack alone, so no prototype is repeated here.
 */

#define STRING(text) #text

/* How many calls went through here: tells whether the bridge is in use. The figure is a hint, not an exact count. */
unsigned long mlxffi_blas_calls;

#if defined(__x86_64__)
#define FORWARD(name)                               \
  __asm__(                                          \
      ".text\n.globl " STRING(name) "\n"            \
      ".type " STRING(name) ", @function\n"         \
      STRING(name) ":\n"                            \
      "  movq mlxffi_blas_calls@GOTPCREL(%rip), %r11\n" \
      "  incq (%r11)\n"                             \
      "  jmp scipy_" STRING(name) "@PLT\n"          \
      ".size " STRING(name) ", . - " STRING(name) "\n")
#elif defined(__aarch64__)
#define FORWARD(name)                               \
  __asm__(                                          \
      ".text\n.globl " STRING(name) "\n"            \
      ".type " STRING(name) ", %function\n"         \
      STRING(name) ":\n"                            \
      "  adrp x16, :got:mlxffi_blas_calls\n"        \
      "  ldr x16, [x16, #:got_lo12:mlxffi_blas_calls]\n" \
      "  ldr x17, [x16]\n"                          \
      "  add x17, x17, #1\n"                        \
      "  str x17, [x16]\n"                          \
      "  b scipy_" STRING(name) "\n"                \
      ".size " STRING(name) ", . - " STRING(name) "\n")
#else
#error "the BLAS bridge knows x86-64 and aarch64"
#endif

/* nm -D --undefined-only libmlx.so lists these and cblas_sgemm, which sgemm.c has; a symbol missing here stays with the
 * reference BLAS. */
FORWARD(cblas_cgemm);
FORWARD(cblas_dgemm);
FORWARD(cgeev_);
FORWARD(cgesdd_);
FORWARD(cheevd_);
FORWARD(dgeev_);
FORWARD(dgeqrf_);
FORWARD(dgesdd_);
FORWARD(dgetrf_);
FORWARD(dgetri_);
FORWARD(dorgqr_);
FORWARD(dpotrf_);
FORWARD(dsyevd_);
FORWARD(dtrtri_);
FORWARD(sgeev_);
FORWARD(sgeqrf_);
FORWARD(sgesdd_);
FORWARD(sgetrf_);
FORWARD(sgetri_);
FORWARD(sorgqr_);
FORWARD(spotrf_);
FORWARD(ssyevd_);
FORWARD(strtri_);
