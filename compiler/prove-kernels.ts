/**
 * The kernels of an artifact with what is proven of them: that each access lies in its buffer, for all sizes that the runtime lets a run have.
 *
 *   symbols within their maxima, needs of the entries that launch a kernel   ──  proof, or a clamp that the proof can see  ──▶  kernels
 */
import type { ArtifactNeed } from "../runtime/artifact.js"
import type { CompiledKernel } from "./compile-kernels.js"
import { add, literal, mul, symbol } from "./ir/expression.js"
import type { Expression } from "./ir/nodes.js"
import { clampAccesses } from "./loop/clamp-accesses.js"

export interface ProvenKernel extends CompiledKernel {
  /** What its proof assumes to be at least 0. */
  readonly assumed: readonly Expression[]
  /** Whether each access lies in its buffer. */
  readonly proven: boolean
  /** Accesses that lie there by a clamp. */
  readonly clamped: number
}

/** An entry: the numbers of the kernels that it launches, what its sizes must be at least, and what they are at most. */
export interface LaunchingEntry {
  readonly kernels: Iterable<number>
  readonly needs: readonly ArtifactNeed[]
  readonly symbols: readonly { readonly name: string; readonly max: number }[]
}

/** The kernels in their order. What a kernel's proof assumes, each entry that launches it needs. */
export function proveKernels(
  kernels: readonly CompiledKernel[],
  entries: readonly LaunchingEntry[],
): readonly ProvenKernel[] {
  const assumed = kernels.map(() => undefined as ReadonlyMap<string, ArtifactNeed> | undefined)
  const most = kernels.map(() => new Map<string, number>())
  for (const entry of entries) {
    const own = new Map(entry.needs.map((n) => [JSON.stringify([n.extent, n.least]), n]))
    for (const i of new Set(entry.kernels)) {
      const before = assumed[i]
      assumed[i] = before === undefined ? own : new Map([...before].filter(([key]) => own.has(key)))
      for (const { name, max } of entry.symbols) most[i]!.set(name, Math.max(max, most[i]!.get(name) ?? 0))
    }
  }
  return kernels.map((kernel, i) => {
    const symbols = [...most[i]!].map(([name, max]) => ({ name, max }))
    const known = assumedBy([...(assumed[i]?.values() ?? [])], symbols)
    const { loops, clamped, unproven } = clampAccesses(kernel.loops, known)
    return { ...kernel, loops, assumed: known, clamped, proven: unproven.length === 0 }
  })
}

/** What is at least 0 where all of the needs are met. */
export function assumedBy(
  needs: readonly ArtifactNeed[],
  symbols: readonly { readonly name: string; readonly max: number }[],
): readonly Expression[] {
  const most = new Map(symbols.map((s) => [s.name, s.max]))
  return needs.map((need) => surplus(need, most))
}

/** What an extent has beyond the least. */
function surplus({ extent, least }: ArtifactNeed, most: ReadonlyMap<string, number>): Expression {
  const terms = typeof extent === "number" ? [{ factor: extent, symbols: [] }] : extent
  const sum = terms.reduce<Expression>((before, { factor, symbols }) => {
    const product = symbols.reduce<Expression>((x, name) => mul(x, symbol(name, most.get(name)!, 0)), literal(factor))
    return add(before, product)
  }, literal(0))
  return add(sum, literal(-least))
}
