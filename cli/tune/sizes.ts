/**
 * The sizes that kernels are measured at: those that schedules assume, or less where a session would not let a run have these.
 *
 *     past 1024, seq 1 of a context of 4096      as they are
 *     past 1024, seq 1 of a context of 1024      past 512: halved until past + seq are within the context
 */
import type { Compilation } from "../../compiler/compile.js"
import { walk } from "../../compiler/ir/expression.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type ArtifactNeed, extentAt } from "../../runtime/artifact.js"
import { mostOf } from "../../runtime/variants.js"

type Sizes = ReadonlyMap<string, number>

/** By the names of the symbols; one that is not there is 1. */
export function sizesOf(compilation: Pick<Compilation, "artifact" | "kernels">): Sizes {
  const sizes = new Map(
    [...hintsOf(compilation)].map(([name, hint]) => [name, Math.min(hint, mostOfAll(compilation, name))]),
  )
  for (let need = unmet(compilation, sizes); need !== undefined; need = unmet(compilation, sizes)) {
    const [largest] = taken(need)
      .filter((symbol) => (sizes.get(symbol) ?? 1) > 1)
      .sort((a, b) => sizes.get(b)! - sizes.get(a)!)
    if (largest === undefined) break
    sizes.set(largest, sizes.get(largest)! >> 1)
  }
  return sizes
}

/** Whether the sizes that kernels are measured at are ones that a session would let a run have. */
export const meetsNeeds = (compilation: Compilation): boolean => unmet(compilation, sizesOf(compilation)) === undefined

/** The largest value of a symbol with which every entry runs that is no variant. */
const mostOfAll = ({ artifact }: Pick<Compilation, "artifact">, symbol: string): number =>
  Object.values(artifact.entries)
    .filter((e) => e.variantOf === undefined)
    .reduce((most, entry) => Math.min(most, mostOf(entry, symbol, most)), Number.POSITIVE_INFINITY)

function unmet({ artifact }: Pick<Compilation, "artifact">, sizes: Sizes): ArtifactNeed | undefined {
  const needs = Object.values(artifact.entries).flatMap((entry) => entry.needs ?? [])
  return needs.find(({ extent, least }) => extentAt(extent, (symbol) => sizes.get(symbol) ?? 1) < least)
}

/** The symbols of which there may be too much. */
const taken = ({ extent }: ArtifactNeed): readonly string[] =>
  typeof extent === "number" ? [] : extent.flatMap(({ factor, symbols }) => (factor < 0 ? symbols : []))

function hintsOf({ kernels }: Pick<Compilation, "kernels">): Sizes {
  const hints = new Map<string, number>()
  const seen = new Set<Expression>()
  for (const { kernel } of kernels)
    for (const item of kernel.items)
      for (const root of [item.value, ...item.axes.map((a) => a.extent)])
        walk(
          root,
          (x) => {
            if (x.kind === "symbol") hints.set(x.name, Math.max(x.hint, hints.get(x.name) ?? 0))
          },
          seen,
        )
  return hints
}
