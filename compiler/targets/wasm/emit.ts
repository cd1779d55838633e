/**
 * Loop kernels → one WebAssembly module (SIMD128) with an exported function per kernel.
 *
 *   emitWasm([kernel])  →  { module: bytes, kernels: [{ name: "scores", scratch: 4096 }], symbols: ["length", "seq"] }
 *
 * A function takes (symbols, scratch, worker, workers, …buffers): byte pointers to the size symbols (i32, in the order of `symbols`), to
 * the worker's own `scratch` bytes (16-byte aligned) and to each buffer; it runs this worker's share of the grid. The memory is imported as
 * ("env", "memory"); its first 64 KiB belong to nobody, so that no immediate offset is needed below a buffer. Every instruction is valid
 * with both kinds of memory: a shared module differs in one flag byte of the import.
 *
 * The flow: lower (core language) → splitLanes → placeArrays → addressed → instructions.
 * Reads in the arms of a `select` with vector conditions are unconditional; they must stay within memory (a fetch beyond it traps).
 */

import { fault } from "../../../runtime/errors.js"
import type { LoopKernel } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import { checkAtoms, checkNoBoxes, withPlainCopies } from "../atoms.js"
import { addressed } from "./addresses.js"
import { placeArrays, splitAddress } from "./arrays.js"
import { countUses, type Emission } from "./emission.js"
import { Code, encodeModule } from "./encode.js"
import { part } from "./expressions.js"
import { splitLanes } from "./lanes.js"
import { parameters } from "./loops.js"
import { lower } from "./lower.js"
import { emitStatements } from "./statements.js"
import { inTurns, isSumOfWords } from "./turns.js"
import { Values } from "./values.js"

export interface WasmOptions {
  /** Import a shared memory, for several workers. */
  readonly shared?: boolean
  /** All symbols of the artifact in its order; the kernels' own, sorted, when left out. */
  readonly symbols?: readonly string[]
}

export interface WasmModule {
  readonly module: Uint8Array
  /** In the order of the kernels; `scratch` is the bytes that a worker needs. */
  readonly kernels: readonly { readonly name: string; readonly scratch: number }[]
  /** The order of the size symbols in memory. */
  readonly symbols: readonly string[]
}

export function emitWasm(kernels: readonly LoopKernel[], options: WasmOptions = {}): WasmModule {
  const symbols = options.symbols ?? [...new Set(kernels.flatMap((k) => k.symbols))].sort()
  const emitted = kernels.map((kernel) => ({ name: kernel.name, ...emitKernel(kernel, symbols) }))
  return {
    module: encodeModule({ functions: emitted, memory: { shared: options.shared ?? false } }),
    kernels: emitted.map(({ name, scratch }) => ({ name, scratch })),
    symbols,
  }
}

function emitKernel(kernel: LoopKernel, symbols: readonly string[]): { code: Code; scratch: number } {
  const code = new Code([...Object.keys(parameters), ...kernel.buffers].map(() => "i32" as const))
  checkAtoms(kernel, "WebAssembly", () => false)
  checkNoBoxes(kernel, "WebAssembly")
  const { body: core, mutable } = lower(withPlainCopies(kernel))
  const flat = kernel.threads > 1 ? splitLanes(core, kernel.threads) : core
  const { places, scratch } = placeArrays(kernel.buffers, flat)
  const body = inTurns(addressed(flat, places, mutable))
  const aside = everyStatement(body).some(isSumOfWords) ? scratch : undefined

  const roots: Expression[] = []
  for (const s of everyStatement(body))
    for (const x of expressionsOf(s)) roots.push(s.kind === "store" && x === s.offset ? splitAddress(x).address : x)
  const values = new Values(code)
  const variables = new Map<string, readonly number[]>([
    ["&scratch", [parameters.scratch]],
    ["workgroup", [parameters.worker]],
    ["workgroups", [parameters.workers]],
  ])
  kernel.buffers.forEach((b, i) => {
    variables.set(`&${b.name}`, [Object.keys(parameters).length + i])
  })
  const emission: Emission = {
    code,
    values,
    places,
    mutable,
    variables,
    symbols: loadSymbols(code, kernel, symbols),
    slots: new Map(),
    uses: countUses(places, roots),
    constants: new Set(kernel.buffers.filter((b) => b.access === "read").map((b) => b.name)),
    counters: new Set(),
    stable: new Map(),
    hoisted: new Set(),
    arms: { depth: 0 },
    aside,
    part: (x, p) => part(emission, x, p),
    statements: (list) => emitStatements(emission, list),
  }
  values.within("structure", () => emitStatements(emission, body))
  return { code, scratch: scratch + (aside === undefined ? 0 : 16) }
}

/** Reads each symbol of the kernel into a local. */
function loadSymbols(code: Code, kernel: LoopKernel, order: readonly string[]): ReadonlyMap<string, number> {
  return new Map(
    kernel.symbols.map((name) => {
      const index = order.indexOf(name)
      if (index < 0) throw fault(`the symbol '${name}' of kernel '${kernel.name}' is not in the artifact's list`)
      const local = code.local("i32")
      code
        .get(parameters.symbols)
        .memory("i32.load", 4 * index)
        .set(local)
      return [name, local]
    }),
  )
}
