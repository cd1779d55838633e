/**
 * Schedules: how a kernel is laid out over workgroups, lanes, registers and vectors. Data, keyed by axis name.
 *
 *   { threads: 1, stores: [{ tile: { seq: { block: 1 }, out: { block: 64, perThread: 4 } }, reduce: { embed: { vector: 4 } } }] }
 *
 * One entry of `stores` per store of the kernel, in order. An axis that is not named has block 1. Nothing here changes what is computed;
 * `tile` refuses what it cannot do.
 *
 * `scheduleFields` is the one list of what a schedule may say. From it follow the types, how a file is checked (`schedule/tuned/check.ts`), how
 * axes are renamed, when two schedules say the same, what the tests draw, and the lists in `schedule/README.md`.
 */

/** What may stand at a field. */
export type Form =
  /** A whole number. */
  | { readonly kind: "count"; readonly least: number; readonly most?: number }
  /** A whole number from 1 on, or "all". */
  | { readonly kind: "extent" }
  | { readonly kind: "truth" }
  /** The name of an axis. */
  | { readonly kind: "axis" }
  /** A name of what the machine has. */
  | { readonly kind: "word" }
  | { readonly kind: "list"; readonly of: Form }
  | { readonly kind: "keyed"; readonly by: "axis" | "buffer"; readonly of: Form }
  | { readonly kind: "fields"; readonly of: Fields }

export interface Field {
  readonly form: Form
  /** What is meant where the field is left out: a value, or in words what decides then. Without it the field has to be there. */
  readonly leftOut?: number | boolean | string | Readonly<Record<string, never>>
  readonly about: string
}

export type Fields = Readonly<Record<string, Field>>

const count = { kind: "count", least: 1 } as const
const truth = { kind: "truth" } as const
const axis = { kind: "axis" } as const
const word = { kind: "word" } as const
const list = <F extends Form>(of: F) => ({ kind: "list", of }) as const
const keyed = <B extends "axis" | "buffer", F extends Form>(by: B, of: F) => ({ kind: "keyed", by, of }) as const
const fields = <F extends Fields>(of: F) => ({ kind: "fields", of }) as const

const perThread = {
  form: count,
  leftOut: 1,
  about: "Consecutive elements (or vectors) of the axis that one lane holds at once.",
} as const

const axisFields = {
  block: {
    form: { kind: "extent" },
    about: 'Elements of the axis that one workgroup owns; "all": the whole axis. A multiple of perThread · vector.',
  },
  perThread,
  vector: {
    form: count,
    leftOut: 1,
    about: "Lanes of a vector along the axis; at most one axis of a store has one.",
  },
  lanes: {
    form: count,
    leftOut: 1,
    about:
      "Lanes of the workgroup that hold the axis side by side, all of it: perThread · vector · lanes elements; a power of two that divides `threads`, along one axis of a store at most. Its folds are online ones then: groups of so many lanes take other elements of the folded axis each, and merge what they have at the end.",
  },
} as const satisfies Fields

const reductionFields = {
  vector: { form: count, leftOut: 1, about: "Elements taken at once by a vector accumulator." },
  accumulators: { form: count, leftOut: 1, about: "Vectors taken at once, each with an accumulator of its own." },
  group: {
    form: count,
    leftOut: 1,
    about: "Lanes of the workgroup that share one reduction; a power of two that divides `threads`.",
  },
  chunk: {
    form: count,
    leftOut: "no chunks",
    about:
      "Elements that the workgroup takes together: what is staged of them is filled once for all its points, which keep their accumulators from chunk to chunk. Goes with `innerUnroll` only.",
  },
  stages: {
    form: { kind: "count", least: 1, most: 6 },
    leftOut: 1,
    about:
      "Chunks whose operands are staged at once: with two the next one is filled while this one is folded. More than two by matrix units alone, whose chunks are copied while others are multiplied.",
  },
  peelTail: {
    form: truth,
    leftOut: true,
    about:
      "Whether chunks that reach over the end of the axis, or over what counts, have a body of their own. Without, there is less text and a little more work.",
  },
  innerUnroll: {
    form: count,
    leftOut: 1,
    about:
      "Elements of the axis (or vectors, or elements of a chunk) that one iteration takes, one after the other into the same accumulator; what is folded inside of each shares one pass.",
  },
  run: {
    form: count,
    leftOut: "8 where the axis may have more than 4,096 elements, for which no more are allowed; else all of them",
    about:
      "Turns of the loop that are added one after the other, before the result is merged by pairs with others; of an online fold by matrix units, chunks of at most 4,096 elements together, after which results are put aside.",
  },
} as const satisfies Fields

const filledFields = {
  perThread,
  vector: { form: count, leftOut: 1, about: "Lanes of a vector along the axis, of loads and of stores." },
} as const satisfies Fields

const stagedFields = {
  tile: { form: keyed("axis", fields(filledFields)), about: "What one lane fills at once, by axis of the operand." },
  pad: {
    form: { kind: "count", least: 0 },
    leftOut: 0,
    about: "Elements added to each row in memory, against bank conflicts.",
  },
  interleave: {
    form: axis,
    leftOut: "none",
    about:
      "An axis of which the even places come first in memory, then the odd ones: lanes that have pairs of neighbours along it read neighbours.",
  },
  packed: {
    form: truth,
    leftOut: false,
    about:
      "Two elements to a word, as in the buffer that they are loaded from: half the memory, decoded at each read. Of plain loads only.",
  },
  fold: {
    form: fields(reductionFields),
    leftOut: {},
    about: "Of scores: how a row of a chunk is folded for its pivot; its vectors are those of the weights, too.",
  },
} as const satisfies Fields

const storeFields = {
  tile: { form: keyed("axis", fields(axisFields)), about: "How the store's axes are laid out." },
  reduce: { form: keyed("axis", fields(reductionFields)), about: "How its folds are done, by the axis folded over." },
  atom: {
    form: fields({
      name: { form: word, about: "The atom, a name of `ir/atoms.ts`." },
      rows: {
        form: axis,
        leftOut: "those axes along which memory is not stored in order",
        about: "An axis of the store that is among the rows of the atom's result.",
      },
      direct: {
        form: truth,
        leftOut: false,
        about:
          "Whether its rows go from memory straight into fragments: they are many, and the columns few. `chunk` of the folded axis are the elements that a group of lanes takes in a step, `innerUnroll` how many steps it has under way, `stages` of how many of such turns memory holds the columns at once, if not of all; `warps` along it share the fold.",
      },
      boxes: {
        form: truth,
        leftOut: false,
        about:
          "Whether the machine's copy engine brings operands that are boxes of matrices in memory, asked by one lane. All lanes copy the others, or compute them; of an online fold it brings chunks where all of them are boxes.",
      },
    }),
    leftOut: "no matrix units",
    about:
      "Matrix units take the store's folds, products of what follows its rows and what follows its columns. Blocks are of the axes of both, `chunk` and `stages` of the folded one.",
  },
  warps: {
    form: keyed("axis", count),
    leftOut: {},
    about:
      "With an atom: groups of its lanes side by side along the axis. All together they are the lanes of the workgroup.",
  },
  raster: {
    form: list(axis),
    leftOut: "their own order",
    about: "The order in which workgroups run over blocks: all axes of the store, the slowest first.",
  },
  backwards: {
    form: truth,
    leftOut: false,
    about: "Whether they run over blocks of the slowest axis, of which there are several, from the last to the first.",
  },
  bins: {
    form: axis,
    leftOut: "none",
    about:
      "An axis of the store at one place of which each element of its folds counts: lanes add elements to places in the workgroup's memory, each element once, in place of comparing it for every place. Sums of integers; a block is one place of each other axis, and of the folds `vector` and `innerUnroll` may be said.",
  },
  staged: {
    form: keyed("buffer", fields(stagedFields)),
    leftOut: {},
    about:
      "The factor of a fold that loads the buffer is copied to the workgroup's memory first. `scores` stands for those of an online fold, which are staged in any case.",
  },
  computeWith: {
    form: fields({
      store: { form: { kind: "count", least: 0 }, about: "The number of the other store." },
      axes: { form: keyed("axis", axis), about: "Which of its axes each axis here stands for." },
    }),
    leftOut: "made by itself",
    about:
      "The store is made along with another one: it has the same folds, or folds the same reads. The rest of such a schedule is empty.",
  },
} as const satisfies Fields

const kernelFields = {
  threads: { form: count, about: "Lanes of a workgroup." },
  subgroup: {
    form: count,
    leftOut: 1,
    about: "Lanes that exchange values without shared memory, a power of two; 1: none do.",
  },
  workgroups: {
    form: count,
    leftOut: "as many as there are blocks",
    about:
      "Workgroups that are launched at most; each takes every so-manieth block, after it has made once what depends on none of them.",
  },
  stores: { form: list(fields(storeFields)), about: "One for each store of the kernel." },
  locals: {
    form: keyed("axis", fields(reductionFields)),
    about: "How reductions inside of locals are done, by the axis folded over.",
  },
} as const satisfies Fields

/** All fields, by what they are said of. */
export const scheduleFields = {
  kernel: kernelFields,
  store: storeFields,
  axis: axisFields,
  reduction: reductionFields,
  staged: stagedFields,
  filled: filledFields,
} as const satisfies Readonly<Record<string, Fields>>

type Value<F> = F extends { readonly kind: "count" }
  ? number
  : F extends { readonly kind: "extent" }
    ? number | "all"
    : F extends { readonly kind: "truth" }
      ? boolean
      : F extends { readonly kind: "axis" | "word" }
        ? string
        : F extends { readonly kind: "list"; readonly of: infer E }
          ? readonly Value<E>[]
          : F extends { readonly kind: "keyed"; readonly of: infer E }
            ? Readonly<Record<string, Value<E>>>
            : F extends { readonly kind: "fields"; readonly of: infer T }
              ? Said<T>
              : never

/** The objects that fields are said in. */
type Said<T> = {
  readonly [K in keyof T as T[K] extends { readonly leftOut: unknown } ? never : K]: Value<FormOf<T[K]>>
} & { readonly [K in keyof T as T[K] extends { readonly leftOut: unknown } ? K : never]?: Value<FormOf<T[K]>> }

type FormOf<F> = F extends { readonly form: infer X } ? X : never

export interface AxisTile extends Said<typeof axisFields> {}
export interface ReductionTile extends Said<typeof reductionFields> {}
/** What a workgroup stages for its points: an operand of a fold, or the scores of an online one. */
export interface StagedTile extends Said<typeof stagedFields> {}
export interface StoreSchedule extends Said<typeof storeFields> {}
export interface Schedule extends Said<typeof kernelFields> {}

export const scheduleForm: Form = fields(kernelFields)

/** What is said of axes, over other axes; what is said of those without a new name is dropped. */
export function renamedAxes(form: Form, value: unknown, to: (axis: string) => string | undefined): unknown {
  switch (form.kind) {
    case "axis":
      return to(value as string)
    case "list":
      return (value as readonly unknown[]).map((x) => renamedAxes(form.of, x, to)).filter((x) => x !== undefined)
    case "keyed":
    case "fields":
      return Object.fromEntries(
        Object.entries(value as object).flatMap(([name, x]) => {
          const key = form.kind === "keyed" && form.by === "axis" ? to(name) : name
          const inner = form.kind === "keyed" ? form.of : form.of[name]!.form
          const said = key === undefined || x === undefined ? undefined : renamedAxes(inner, x, to)
          return said === undefined ? [] : [[key, said]]
        }),
      )
    default:
      return value
  }
}

/** The tile of what is staged over other axes; what is said of those without a new name is dropped. */
export const renamedTile = (tile: StagedTile, to: (axis: string) => string | undefined): StagedTile =>
  renamedAxes(fields(stagedFields), tile, to) as StagedTile

/** Equal for schedules that say the same: what is meant where nothing is said is left out, and the order of names is of no matter. */
export const scheduleKey = (schedule: Schedule): string => JSON.stringify(canonical(scheduleForm, schedule))

function canonical(form: Form, value: unknown): unknown {
  if (form.kind === "list") return (value as readonly unknown[]).map((x) => canonical(form.of, x))
  if (form.kind !== "keyed" && form.kind !== "fields") return value
  const said = Object.entries(value as object).flatMap(([name, x]): readonly (readonly [string, unknown])[] => {
    if (x === undefined) return []
    if (form.kind === "keyed") return [[name, canonical(form.of, x)]]
    const { form: inner, leftOut } = form.of[name]!
    const made = canonical(inner, x)
    const meant = typeof leftOut !== "string" && JSON.stringify(made) === JSON.stringify(leftOut)
    return meant ? [] : [[name, made]]
  })
  return Object.fromEntries(said.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Why a schedule cannot be carried out. */
export interface Refusal {
  readonly code:
    | "schedule/shape"
    | "access/unproven"
    | "schedule/unknown-axis"
    | "tile/indivisible"
    | "tile/vector"
    | "reduce/vector"
    | "reduce/group"
    | "reduce/chunk"
    | "reduce/run"
    | "reduce/bins"
    | "local/unowned"
    | "local/size"
    | "store/packed"
    | "fold/slots"
    | "atom/unknown"
    | "atom/fold"
    | "atom/axes"
    | "atom/lanes"
    | "atom/tile"
  readonly why: string
}
