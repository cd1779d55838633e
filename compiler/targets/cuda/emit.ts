/**
 * Prints a kernel of the loop language as CUDA.
 *
 *   kernel twice(x: read f32[n], y: write f32[n])
 *   → // twice
 *     KERNEL(64, 1) twice(const f32* x, f32* y, const i32* symbols) { … }
 *
 * Its parameters are the buffers in their order, the matrices of which it copies boxes, and the size symbols of the whole artifact in theirs. A product and its sum may become one
 * instruction, as on other hardware; no other liberty is taken with arithmetic.
 */
import type { ArtifactMatrix } from "../../../runtime/artifact.js"
import { WeftError } from "../../../runtime/errors.js"
import type { LoopKernel } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import { checkAtoms } from "../atoms.js"
import { printKernel } from "../text/kernel.js"
import { cudaDialect, parameterText } from "./dialect.js"
import { checkCuda } from "./limits.js"
import { partNames } from "./parts.js"

export interface CudaOptions {
  /** The function's name. */
  readonly symbol: string
  /** All size symbols of the artifact, in its order. */
  readonly symbolOrder: readonly string[]
  /** Bytes of shared memory that a block may have. */
  readonly sharedBytes: number
  /** Of the GPU that workgroups are counted for. */
  readonly multiprocessors: number
}

export interface CudaKernel {
  readonly source: string
  /** Bytes of shared memory that a launch provides. */
  readonly sharedBytes: number
  /** Whether each workgroup waits for earlier launches itself. */
  readonly early?: true
  /** Those of which it copies boxes: parameters behind its buffers. */
  readonly matrices?: readonly ArtifactMatrix[]
  /** Parts of the prelude that its text calls functions of. */
  readonly parts: ReadonlySet<string>
}

/** @throws WeftError when the kernel is beyond what a GPU allows, or reads a symbol that the artifact does not list */
export function emitCuda(kernel: LoopKernel, options: CudaOptions): CudaKernel {
  checkAtoms(kernel, "CUDA", (atom) => partNames.has(atom))
  const dialect = cudaDialect(kernel)
  const body = printKernel(kernel, dialect, (name) => symbolText(kernel, options, name))
  const sharedBytes = dialect.sharedBytes()
  const refusal = checkCuda(kernel, sharedBytes, options.sharedBytes)
  if (refusal !== undefined) throw refusal
  const matrices = dialect.matrices()
  const parameters = [
    ...kernel.buffers.map((b, i) => parameterText(b, body.buffers[i]!)),
    ...[...matrices.keys()].map((name) => `MATRIX ${name}`),
    "const i32* symbols",
  ]
  const early = everyStatement(kernel.body).some((s) => s.kind === "await")
  const resident = residentOf(kernel, options, sharedBytes)
  const name = `RESIDENT_${options.symbol}`
  const source = [
    `// ${kernel.name.replace(/[^\x20-\x7e]/g, "?")}`,
    ...(resident === 1 ? [] : [`#ifndef ${name}`, `#define ${name} ${resident}`, "#endif"]),
    `KERNEL(${kernel.threads}, ${resident === 1 ? 1 : name}) ${options.symbol}(${parameters.join(", ")}) {`,
    ...body.globals.map((line) => `  ${line}`),
    ...body.lines,
    // A workgroup without a cell waits, too: then a launch that has ended says that those before it have.
    ...(early ? ["  await_launches();"] : []),
    "}",
    "",
  ].join("\n")
  const told = matrices.size > 0 ? { matrices: [...matrices.values()] } : {}
  return { source, sharedBytes, parts: dialect.parts(), ...(early ? { early } : {}), ...told }
}

/** Registers of a multiprocessor from sm_80 to sm_120, and those that a thread that waits for memory should have: 8 loads of 16 bytes, their sums and places. */
const registers = { all: 65536, least: 64 }

/** Bytes of shared memory of a multiprocessor of sm_90, and those that each workgroup takes for itself. */
const shared = { all: 228 * 1024, own: 1024 }

/** Workgroups that a multiprocessor is to hold: as many as let all of a launch run at once, where there is room for them; else as many as come. */
function residentOf(kernel: LoopKernel, { multiprocessors }: CudaOptions, sharedBytes: number): number {
  const { groups, threads } = kernel
  const wanted = Math.ceil(groups / multiprocessors)
  const held = heldWords(kernel)
  const room = Math.floor(registers.all / (registers.least + held) / threads)
  if (held === 0) return wanted <= room ? wanted : 1
  // Where fragments fill the registers fewer run at once: their company hides what a workgroup waits for.
  return Math.max(1, Math.min(wanted, room, Math.floor(shared.all / (sharedBytes + shared.own))))
}

/** Words of fragments that a lane holds. */
const heldWords = (kernel: LoopKernel): number =>
  everyStatement(kernel.body).reduce((sum, s) => {
    if (s.kind !== "alloc" || s.layout === undefined) return sum
    return sum + (s.storage === undefined ? s.size : s.size / 2)
  }, 0)

function symbolText(kernel: LoopKernel, { symbolOrder }: CudaOptions, name: string): string {
  const at = symbolOrder.indexOf(name)
  if (at < 0)
    throw new WeftError("cuda/symbol", `kernel '${kernel.name}' reads '${name}', which the artifact does not list`)
  return `symbols[${at}]`
}
