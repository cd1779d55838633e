/**
 * Variants: entries that do the same, each by kernels for up to so many elements.
 *
 *     logits.16   logits.512   logits, up to 2,048          7 tokens → logits.16     17 → logits.512     600 → logits
 *
 * The one for the fewest elements that holds what there is runs: its blocks are laid out for them.
 */
import type { Artifact, ArtifactEntry } from "./artifact.js"
import { WeftError } from "./errors.js"

type Entries = Pick<Artifact, "entries" | "symbols">

/** The largest value of a symbol that an entry runs with; `otherwise` where it says nothing of it. */
export const mostOf = (entry: ArtifactEntry | undefined, symbol: string, otherwise: number): number =>
  entry?.most?.[symbol] ?? otherwise

/** Whether an entry is a variant, or has some. */
export const isOfSeveral = ({ entries }: Pick<Entries, "entries">, name: string): boolean =>
  entries[name]?.variantOf !== undefined || Object.values(entries).some((e) => e.variantOf === name)

/** For the name of an entry, and the values of symbols: the name of what is to run, itself or a variant. */
export function createVariants({ entries, symbols }: Entries) {
  const variants = new Map<string, string[]>()
  for (const [name, { variantOf }] of Object.entries(entries))
    if (variantOf !== undefined) variants.set(variantOf, [...(variants.get(variantOf) ?? []), name])
  const room = (name: string) => symbols.reduce((n, s) => n + mostOf(entries[name], s.name, s.max), 0)
  for (const names of variants.values()) names.sort((a, b) => room(a) - room(b))
  const holds = (name: string, value: (symbol: string) => number) =>
    symbols.every((s) => value(s.name) <= mostOf(entries[name], s.name, s.max))
  return (entry: string, value: (symbol: string) => number): string =>
    variants.get(entry)?.find((name) => holds(name, value)) ?? entry
}

/** @throws WeftError `session/symbol` when an entry is to run with more than it may */
export function checkMost(
  { entries }: Pick<Entries, "entries">,
  name: string,
  value: (symbol: string) => number,
): void {
  for (const [symbol, max] of Object.entries(entries[name]?.most ?? {}))
    if (value(symbol) > max)
      throw new WeftError("session/symbol", `'${symbol}' is ${value(symbol)}, which is not in 0 … ${max} of '${name}'`)
}
