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
}

export interface CudaKernel {
  readonly source: string
  /** Bytes of shared memory that a launch provides. */
  readonly sharedBytes: number
  /** Whether each workgroup waits for earlier launches itself. */
  readonly early?: true
}

/** @throws WeftError when the kernel is beyond what a GPU allows, or reads a symbol that the artifact does not list */
export function emitCuda(kernel: LoopKernel, options: CudaOptions): CudaKernel {
  const dialect = cudaDialect(kernel)
  const body = printKernel(kernel, dialect, (name) => symbolText(kernel, options, name))
  const sharedBytes = dialect.sharedBytes()
  const refusal = checkCuda(kernel, sharedBytes, options.sharedBytes)
  if (refusal !== undefined) throw refusal
  const parameters = [...kernel.buffers.map((b, i) => parameterText(b, body.buffers[i]!)), "const i32* symbols"]
  const early = everyStatement(kernel.body).some((s) => s.kind === "await")
  const source = [
    `// ${kernel.name.replace(/[^\x20-\x7e]/g, "?")}`,
    `KERNEL(${kernel.threads}, 1) ${options.symbol}(${parameters.join(", ")}) {`,
    ...body.globals.map((line) => `  ${line}`),
    ...body.lines,
    // A workgroup without a cell waits, too: then a launch that has ended says that those before it have.
    ...(early ? ["  await_launches();"] : []),
    "}",
    "",
  ].join("\n")
  return { source, sharedBytes, ...(early ? { early } : {}) }
}

function symbolText(kernel: LoopKernel, { symbolOrder }: CudaOptions, name: string): string {
  const at = symbolOrder.indexOf(name)
  if (at < 0)
    throw new WeftError("cuda/symbol", `kernel '${kernel.name}' reads '${name}', which the artifact does not list`)
  return `symbols[${at}]`
}
