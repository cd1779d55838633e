/**
 * bounds: for how many rows at most an entry is compiled.
 *
 *   machine 16, 512, 2048; context 40,960                  prefill for 16, 512 and 2,048 rows, logits for 16 and 512
 *   the same with `chunk: 100`                             both for 16 and 100
 *   the same of a context of 300                           both for 16 and 300
 *
 * Kernels for few rows are laid out otherwise than those for many: the runtime takes the ones for the fewest that hold what there is. Each is
 * compiled as if there never were more.
 */
import type { Entry } from "../../dsl/entries.js"
import type { Facts } from "../../dsl/facts.js"

export interface BoundLimits {
  /** Rows that somebody asks for at most, in the place of the machine's largest. */
  readonly chunk?: number | undefined
  readonly bindingBytes: number
}

/** Bytes of f32 that an entry gives at once, in all its rows: a host reads them, and has as much memory taken on the device for it. Not measured. */
const outputBytes = 2 ** 29

/** Rows of one buffer of logits, below which fewer are not worth it. */
const leastRows = 128

/**
 * The bounds of a model's entries, ascending: no more than the context has, nor, where nobody asked for so many, than one buffer holds the f32 logits of.
 *
 * @param machine ascending
 */
export function boundsOf(
  machine: readonly number[],
  facts: Partial<Facts>,
  { chunk, bindingBytes }: BoundLimits,
): readonly number[] {
  const { context = Number.POSITIVE_INFINITY, vocabulary = 1 } = facts
  const most = Math.min(chunk ?? halved(machine.at(-1)!, 4 * vocabulary, bindingBytes), context)
  return [...machine.filter((bound) => bound < most), most]
}

/** Of rows that take so many bytes each, as many as fit, by halves. */
function halved(rows: number, rowBytes: number, bytes: number): number {
  let fitting = rows
  while (fitting > leastRows && rowBytes * fitting > bytes) fitting /= 2
  return fitting
}

/** Rows that sizes are supposed to be where more are allowed: prompts are short more often than not. */
const usualRows = 64

/** For how many rows an entry is compiled: at most, and as schedules and costs suppose. */
export interface Bound {
  readonly most: number
  readonly hint: number
}

/**
 * The bounds of an entry, descending; one for an entry whose sizes are all known. Fewer rows than the bound before are not to be supposed: they are left
 * to that. An entry that gives rows has no bounds of more than a host reads at once, but one.
 */
export function boundsOfEntry(entry: Entry, bounds: readonly number[], { vocabulary }: Facts): readonly Bound[] {
  const rows = new Set(
    Object.values(entry.inputs).flatMap((i) => i.axes.flatMap((a) => (typeof a.extent === "number" ? [] : [a.axis]))),
  )
  const givesRows = Object.values(entry.outputs).some((axes) => axes.some((axis) => rows.has(axis)))
  const own = bounds.filter((bound, i) => !givesRows || i === 0 || 4 * vocabulary * bound <= outputBytes)
  const made = own.map((most, i): Bound => ({ most, hint: Math.min(most, Math.max(usualRows, own[i - 1] ?? 0)) }))
  return rows.size === 0 ? made.slice(-1) : made.reverse()
}
