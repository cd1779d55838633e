/**
 * Prints a kernel of the loop language as CUDA.
 *
 *   kernel twice(x: read f32[n], y: write f32[n])
 *   → // twice
 *     KERNEL(64, 1) twice(const f32* x, f32* y, const i32* symbols) { … }
 *
 * Its parameters are the buffers in their order and the size symbols of the whole artifact in theirs. A product and its sum may become one
 * instruction, as on other hardware; no other liberty is taken with arithmetic.
 */
import { WeftError } from "../../../runtime/errors.js"
import type { LoopKernel } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import { checkAtoms, withPlainCopies } from "../atoms.js"
import { printKernel } from "../text/kernel.js"
import { cudaDialect, parameterText } from "./dialect.js"
import { checkCuda } from "./limits.js"

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
}

/** @throws WeftError when the kernel is beyond what a GPU allows, or reads a symbol that the artifact does not list */
export function emitCuda(given: LoopKernel, options: CudaOptions): CudaKernel {
  checkAtoms(given, "CUDA", () => false)
  const kernel = withPlainCopies(given)
  const dialect = cudaDialect(kernel)
  const body = printKernel(kernel, dialect, (name) => symbolText(kernel, options, name))
  const sharedBytes = dialect.sharedBytes()
  const refusal = checkCuda(kernel, sharedBytes, options.sharedBytes)
  if (refusal !== undefined) throw refusal
  const parameters = [...kernel.buffers.map((b, i) => parameterText(b, body.buffers[i]!)), "const i32* symbols"]
  const early = everyStatement(kernel.body).some((s) => s.kind === "await")
  const resident = residentOf(kernel, options)
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
  return { source, sharedBytes, ...(early ? { early } : {}) }
}

/** Registers of a multiprocessor from sm_80 to sm_120, and those that a thread that waits for memory should have: 8 loads of 16 bytes, their sums and places. */
const registers = { all: 65536, least: 64 }

/** Workgroups that a multiprocessor is to hold: as many as let all of a launch run at once, where there is room for them; else as many as come. */
function residentOf({ groups, threads }: LoopKernel, { multiprocessors }: CudaOptions): number {
  const wanted = Math.ceil(groups / multiprocessors)
  const room = registers.all / registers.least / threads
  return wanted <= room ? wanted : 1
}

function symbolText(kernel: LoopKernel, { symbolOrder }: CudaOptions, name: string): string {
  const at = symbolOrder.indexOf(name)
  if (at < 0)
    throw new WeftError("cuda/symbol", `kernel '${kernel.name}' reads '${name}', which the artifact does not list`)
  return `symbols[${at}]`
}
