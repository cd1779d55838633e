/**
 * Kernels of the device's own, as text for the driver's assembler.
 *
 *     copy    some words to pinned memory: the copy engine, which takes over from the kernels and hands back, takes 10 µs in a step where this
 *             takes 3 (H200)
 *     delay   time that passes in front of a kernel, for tests of early starts:  a │ delay │ b │ delay │ c
 *             what b computes is held back while c may start already, so that what c reads too early is found old
 */
import type { Kernels } from "./kernels.js"

/** Words that one block copies. */
export const mostWords = 256

const copyText = `.version 7.0
.target sm_70
.address_size 64
.visible .entry weft_copy(.param .u64 to, .param .u64 from, .param .u64 words)
{
  .reg .b64 %a<5>;
  .reg .b32 %w<2>;
  .reg .pred %p;
  mov.u32 %w0, %tid.x;
  cvt.u64.u32 %a0, %w0;
  ld.param.u64 %a1, [words];
  setp.ge.u64 %p, %a0, %a1;
  @%p ret;
  ld.param.u64 %a2, [to];
  ld.param.u64 %a3, [from];
  mad.wide.u32 %a2, %w0, 4, %a2;
  mad.wide.u32 %a3, %w0, 4, %a3;
  ld.global.u32 %w1, [%a3];
  st.global.u32 [%a2], %w1;
  ret;
}
`

/**
 * It lets what comes next start at once, and its time begins when what came before has ended: delays that started as early as they may would
 * pass side by side. A loop that does nothing but look at the clock would be taken out.
 */
const delayText = (nanoseconds: number, early: boolean): string => `.version 7.8
.target ${early ? "sm_90" : "sm_70"}
.address_size 64
.visible .entry weft_delay()
{
  .reg .b64 %t<3>;
  .reg .pred %p;
  ${early ? "griddepcontrol.launch_dependents;\n  griddepcontrol.wait;" : ""}
  mov.u64 %t0, %globaltimer;
AGAIN:
  nanosleep.u32 500;
  mov.u64 %t1, %globaltimer;
  sub.u64 %t2, %t1, %t0;
  setp.lt.u64 %p, %t2, ${nanoseconds};
  @%p bra AGAIN;
  ret;
}
`

/** The handle of the copy: parameters are where to, where from, and how many words. Undefined where the driver assembles nothing. */
export function loadCopy(kernels: Pick<Kernels, "find">): number | undefined {
  try {
    return kernels.find(imageOf(copyText), "weft_copy")
  } catch {
    return undefined
  }
}

/** The handle of the delay, which has no parameters. */
export const loadDelay = (kernels: Pick<Kernels, "find">, microseconds: number, early: boolean): number =>
  kernels.find(imageOf(delayText(Math.round(1000 * microseconds), early)), "weft_delay")

const imageOf = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`)
