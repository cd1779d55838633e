/** What a compiler of CUDA C++ is: a text without headers in, a binary out. NVRTC is one (`nvrtc.ts`), nvcc another (`nvcc.ts`). */
import { availableParallelism } from "node:os"
import type { Binary } from "./architectures.js"

/** What the text is written for. Divisions and roots are rounded rightly, products and sums fused where they stand together: the compilers' defaults. */
export const languageOptions: readonly string[] = ["--std=c++17"]

export interface Compiled {
  /** Absent where the text was refused. PTX ends with a zero byte, as drivers want it. */
  readonly image?: Uint8Array
  /** What the compiler said. */
  readonly log: string
}

export interface Compiler {
  /** For people: NVRTC or nvcc, and where it lies. */
  readonly description: string
  /** Differs between two compilers that may give different binaries. */
  readonly identity: string
  /** @throws WeftError `cuda/missing` where the compiler cannot be run */
  compile(text: string, to: Binary): Promise<Compiled>
}

/** The compiler's words for what is compiled to. */
export const targetOption = ({ arch, kind }: Binary): string =>
  kind === "cubin" ? arch : arch.replace("sm_", "compute_")

/** Half of what koffi lets be under way in a process (256 calls): reads of devices are under way, too. */
const mostAtATime = 128

/** So many at a time; the others wait. */
function slots(count: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let free = count
  return async (work) => {
    if (free === 0) await new Promise<void>((go) => waiting.push(go))
    else free--
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }
}

/** Carries out a compilation when a processor is free for it, whoever asks. */
export const atATime = slots(Math.min(availableParallelism(), mostAtATime))
