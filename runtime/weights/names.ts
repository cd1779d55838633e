/**
 * Which tensor of a checkpoint is which weight of a model, where their names differ, and what a tensor is that no weight is named after.
 *
 *     the model has                     the checkpoint has
 *     model.layers.0.mlp.up.weight      layers.0.mlp.up.weight                        a base model that was saved alone
 *     model.layers.0.mlp.up.weight      model.language_model.layers.0.mlp.up.weight   the same inside of a larger one
 *     wte.weight                        transformer.wte.weight                        the other way round
 *     model.embed_tokens.weight         lm_head.weight                                a tied model that was saved with its head
 *
 * As in transformers, the first part of a name may be missing from any tensor. Other prefixes are taken only when they fit all weights of
 * their module, and when no second one does: nothing is guessed from a single name. Where several tensors stand for one weight
 * (`norm.weight` beside `model.norm.weight`) they must be the same.
 */
import type { StoredTensor } from "./checkpoint.js"

/** What a model says of the names in its checkpoints. */
export interface NameRules {
  /** Names that a checkpoint may hold though the model has no weight for them; `*` stands for any part of a name. */
  readonly ignore?: readonly string[] | undefined
  /** Names under which a weight may also stand. Where both are there they must hold the same numbers. */
  readonly alternatives?: Readonly<Record<string, readonly string[]>> | undefined
}

export interface FoundNames {
  /** The name in the checkpoint of each weight that was found. */
  readonly stored: ReadonlyMap<string, string>
  /** What else stands for a weight that was found: its name in the checkpoint, and that of the other, which must hold the same. */
  readonly twins: readonly (readonly [name: string, twin: string])[]
  /** Beginnings of the checkpoint's names under which the model's own tensors are. */
  readonly homes: ReadonlySet<string>
  /** Several prefixes fit, so none was taken. */
  readonly ambiguous: readonly string[]
}

interface Names {
  has(name: string): boolean
  keys(): Iterable<string>
}

/** `from` in a weight's name is `to` in the checkpoint's. */
interface Shift {
  readonly from: string
  readonly to: string
}

const unshifted: Shift = { from: "", to: "" }
/** More prefixes than this are noise. */
const mostShifts = 64

/** Finds each of `expected` among the checkpoint's names. */
export function findNames(
  expected: readonly string[],
  names: Names,
  { alternatives = {} }: NameRules = {},
): FoundNames {
  const optional = (name: string) => Object.hasOwn(alternatives, name)
  const own = new Set(expected)
  const free = { has: (name: string) => names.has(name) && !own.has(name), keys: () => names.keys() }
  const { shifts, ambiguous } = shiftsOf(expected, names, free, optional)
  const stored = new Map<string, string>()
  const twins: (readonly [string, string])[] = []
  const homes = new Set<string>()
  /** All that stand for `name`, the first one first. */
  const find = (name: string): readonly string[] =>
    shifts.flatMap(({ from, to }) => {
      const shifted = to + name.slice(from.length)
      if (!name.startsWith(from) || !(shifted === name ? names : free).has(shifted)) return []
      homes.add(to + firstPart(shifted.slice(to.length)))
      return [shifted]
    })
  for (const name of expected) {
    const others = optional(name) ? alternatives[name]! : []
    const [found, ...twin] = new Set([name, ...others].flatMap(find))
    if (found !== undefined) stored.set(name, found)
    for (const other of twin) twins.push([found!, other])
  }
  return { stored, twins, homes, ambiguous }
}

/** The shifts to try for each name, in this order. `free` are the names that no weight has by itself. */
function shiftsOf(
  expected: readonly string[],
  names: Names,
  free: Names,
  optional: (name: string) => boolean,
): { readonly shifts: readonly Shift[]; readonly ambiguous: readonly string[] } {
  const bases = new Set(expected.filter((name) => parts(name) > 2).map((name) => `${firstPart(name)}.`))
  // With two modules side by side, a name without either belongs to neither.
  const simple = [unshifted, ...(bases.size === 1 ? [...bases].map((from) => ({ from, to: "" })) : [])]
  const isFound = (name: string) =>
    names.has(name) || simple.some(({ from, to }) => name.startsWith(from) && free.has(to + name.slice(from.length)))
  const missing = expected.filter((name) => !optional(name) && !isFound(name))
  for (const from of ["", ...bases]) {
    const module = expected.filter((name) => name.startsWith(from) && !optional(name))
    const anchor = missing.find((name) => name.startsWith(from) && parts(name.slice(from.length)) > 1)
    // A prefix stands for a whole module, of which nothing is where the model has it.
    if (anchor === undefined || module.some(isFound)) continue
    const rest = anchor.slice(from.length)
    const prefixes = [...names.keys()].filter((name) => name.endsWith(`.${rest}`)).slice(0, mostShifts)
    const fitting = prefixes
      .map((name) => ({ from, to: name.slice(0, name.length - rest.length) }))
      .filter(({ to }) => module.every((name) => free.has(to + name.slice(from.length))))
    if (fitting.length === 1) return { shifts: [...fitting, ...simple], ambiguous: [] }
    if (fitting.length > 1) return { shifts: simple, ambiguous: fitting.map(({ to }) => to) }
  }
  return { shifts: simple, ambiguous: [] }
}

const parts = (name: string): number => name.split(".", 4).length
const firstPart = (name: string): string => name.split(".", 1)[0]!

/** Last parts of names that no library gives to a weight: tables that follow from the config, counters, constants. */
const bufferNames = new Set([
  "inv_freq",
  "original_inv_freq",
  "cos_cached",
  "sin_cached",
  "masked_bias",
  "causal_mask",
  "position_ids",
  "num_batches_tracked",
])

/**
 * Whether a tensor is something that a module keeps beside its weights and that follows from the config: a rotary table, a mask, a counter.
 * A `bias` of the shape [1, 1, n, n] is the mask that GPT-2's modules have under that name.
 */
export function isBuffer({ name, dtype, shape }: Pick<StoredTensor, "name" | "dtype" | "shape">): boolean {
  const last = name.slice(name.lastIndexOf(".") + 1)
  const square = shape.length === 4 && shape[0] === 1 && shape[1] === 1 && shape[2] === shape[3]
  return bufferNames.has(last) || dtype === "BOOL" || (last === "bias" && square)
}

/** Whether a name fits one of `patterns`; `*` stands for any part, the empty one included. */
export function matchesAny(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => matches(name, pattern.split("*")))
}

/** The pieces between the stars, each as early as it can be: linear, whatever the pattern. */
function matches(name: string, pieces: readonly string[]): boolean {
  const last = pieces.at(-1)!
  if (pieces.length === 1) return name === last
  if (!name.startsWith(pieces[0]!)) return false
  let at = pieces[0]!.length
  for (const piece of pieces.slice(1, -1)) {
    const found = name.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}
