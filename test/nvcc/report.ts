/**
 * What nvcc says of each kernel with -Xptxas -v, and whether a GPU holds as many blocks as the kernel's bounds ask for.
 *
 *     Compiling entry function 'k3_t0' for 'sm_90a'
 *       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads     →   { registers: 46, spilled: 0, frame: 0, stack: 0, shared: 128 }
 *     Used 46 registers, used 1 barriers, 128 bytes smem
 */
export interface KernelReport {
  readonly registers: number
  /** Bytes that were put into memory for lack of registers. */
  readonly spilled: number
  /** Bytes of the stack that they take at most: stores, in units of 16. */
  readonly frame: number
  /** Bytes of arrays that lie in memory because their elements are chosen at run time. */
  readonly stack: number
  /** Bytes of shared memory that the text declares with its size. */
  readonly shared: number
}

/** By the kernel's symbol. */
export function reportsOf(log: string): ReadonlyMap<string, KernelReport> {
  const parts = log.split(/Compiling entry function /).slice(1)
  return new Map(
    parts.map((part) => {
      const [, symbol] = /^'(\w+)'/.exec(part)!
      const number = (pattern: RegExp): number => Number(pattern.exec(part)?.[1] ?? 0)
      const stored = number(/(\d+) bytes spill stores/)
      const spilled = stored + number(/(\d+) bytes spill loads/)
      const frame = 16 * Math.ceil(stored / 16)
      const registers = Number(/Used (\d+) registers/.exec(part)![1])
      return [
        symbol!,
        { registers, spilled, frame, stack: number(/(\d+) bytes stack frame/), shared: number(/(\d+) bytes smem/) },
      ]
    }),
  )
}

/** Lines that warn: C7512 and C7515 are those of products on matrix units that are carried out one after the other. */
export const warningsOf = (log: string): readonly string[] =>
  log.split("\n").filter((line) => /warning|\bC75\d\d\b/i.test(line))

interface Limits {
  /** Bytes of shared memory: of a block, and of all blocks that a multiprocessor holds. */
  readonly block: number
  readonly multiprocessor: number
  readonly threads: number
}

const kilobyte = 1024
/** The CUDA C++ Programming Guide's table of technical specifications by compute capability. */
export const limits: Readonly<Record<string, Limits>> = {
  sm_80: { block: 163 * kilobyte, multiprocessor: 164 * kilobyte, threads: 2048 },
  sm_90a: { block: 227 * kilobyte, multiprocessor: 228 * kilobyte, threads: 2048 },
  sm_120: { block: 99 * kilobyte, multiprocessor: 100 * kilobyte, threads: 1536 },
}
/** 32-bit registers of a multiprocessor, handed out to warps in units of so many, on all of them. */
const allRegisters = 65_536
const warp = 32
const registerUnit = 256
/** Bytes of shared memory that each block takes for itself. */
const ownBytes = 1024

/** What a kernel's bounds say: `__launch_bounds__(threads, resident)`. */
export interface Bounds {
  readonly threads: number
  readonly resident: number
  /** Whether `resident` is a wish, which a kernel that spills for it is compiled without. */
  readonly wished?: boolean
  readonly sharedBytes: number
}

/** What keeps a multiprocessor of an architecture from holding `resident` blocks; nothing where it does. */
export function excess(
  arch: string,
  { threads, resident, sharedBytes }: Bounds,
  report: KernelReport,
): readonly string[] {
  const { block, multiprocessor, threads: mostThreads } = limits[arch]!
  const ofWarp = Math.ceil((warp * report.registers) / registerUnit) * registerUnit
  const registers = resident * Math.ceil(threads / warp) * ofWarp
  const shared = sharedBytes + report.shared
  return [
    ...(registers > allRegisters ? [`${registers} registers of ${allRegisters}`] : []),
    ...(shared > block ? [`${shared} bytes of shared memory in a block of ${block}`] : []),
    ...(resident * (shared + ownBytes) > multiprocessor
      ? [`${resident * (shared + ownBytes)} bytes of shared memory of ${multiprocessor}`]
      : []),
    ...(resident * threads > mostThreads ? [`${resident * threads} threads of ${mostThreads}`] : []),
  ]
}
