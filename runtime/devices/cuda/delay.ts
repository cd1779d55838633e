/**
 * A kernel that lets time pass, for tests of early starts: in front of a kernel it holds back what that computes, while the kernel behind that
 * one may start already, so that what is read too early is found old.
 *
 *     a │ delay │ b │ delay │ c       c starts while b waits for its delay
 *
 * It lets what comes next start at once and waits for what came before at its end, as every kernel does that starts early.
 */
import type { CudaKernel, Kernels } from "./kernels.js"

const symbol = "weft_delay"

/** PTX; `nanoseconds` of the device's clock. A loop that does nothing but look at the clock would be taken out. */
const text = (nanoseconds: number, early: boolean): string => `.version 7.8
.target ${early ? "sm_90" : "sm_80"}
.address_size 64
.visible .entry ${symbol}()
{
  .reg .b64 %t<4>;
  .reg .pred %p;
  ${early ? "griddepcontrol.launch_dependents;" : ""}
  mov.u64 %t0, %globaltimer;
AGAIN:
  nanosleep.u32 500;
  mov.u64 %t1, %globaltimer;
  sub.u64 %t2, %t1, %t0;
  setp.lt.u64 %p, %t2, ${nanoseconds};
  @%p bra AGAIN;
  ${early ? "griddepcontrol.wait;" : ""}
  ret;
}
`

export function loadDelay(kernels: Pick<Kernels, "find">, microseconds: number, early: boolean): CudaKernel {
  const image = new TextEncoder().encode(`${text(Math.round(1000 * microseconds), early)}\0`)
  return { name: "delay", handle: kernels.find(image, symbol), bindings: 0, threads: 1, sharedBytes: 0, early }
}
