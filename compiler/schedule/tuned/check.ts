/**
 * The form of a schedule that comes from a file: numbers are positive whole ones, and no field is unknown.
 *
 *   kernels.6d1c….schedule.stores[0].tile.out.block is 0, not a whole number from 1 on or "all"
 *
 * Whether a kernel can be laid out that way is for `tile` to say.
 */
import type { AxisTile, ReductionTile, Schedule, StagedTile, StoreSchedule } from "../../ir/schedule.js"

export type Fail = (where: string, why: string) => never

type Check = (value: unknown, where: string, fail: Fail) => void

const whole: Check = (value, where, fail) => {
  if (!Number.isSafeInteger(value) || (value as number) < 1)
    fail(where, `is ${JSON.stringify(value)}, not a whole number from 1 on`)
}
const fromZero: Check = (value, where, fail) => {
  if (value !== 0) whole(value, where, fail)
}
const extent: Check = (value, where, fail) => {
  if (value !== "all" && (!Number.isSafeInteger(value) || (value as number) < 1))
    fail(where, `is ${JSON.stringify(value)}, not a whole number from 1 on or "all"`)
}
const text: Check = (value, where, fail) => {
  if (typeof value !== "string") fail(where, "is not a text")
}
const truth: Check = (value, where, fail) => {
  if (typeof value !== "boolean") fail(where, "is neither true nor false")
}
const time: Check = (value, where, fail) => {
  if (typeof value !== "number" || !(value >= 0)) fail(where, "is not a number of microseconds")
}

const list =
  (element: Check): Check =>
  (value, where, fail) => {
    if (!Array.isArray(value)) return fail(where, "is not a list")
    for (const [i, x] of value.entries()) element(x, `${where}[${i}]`, fail)
  }

const table =
  (element: Check): Check =>
  (value, where, fail) => {
    for (const [name, x] of fieldsOf(value, where, fail)) element(x, `${where}.${name}`, fail)
  }

const fields =
  (required: Readonly<Record<string, Check>>, optional: Readonly<Record<string, Check>> = {}): Check =>
  (value, where, fail) => {
    const given = fieldsOf(value, where, fail)
    const names = new Set(given.map(([name]) => name))
    for (const name of Object.keys(required)) if (!names.has(name)) fail(`${where}.${name}`, "is missing")
    for (const [name, x] of given) {
      const check = Object.hasOwn(required, name)
        ? required[name]!
        : Object.hasOwn(optional, name)
          ? optional[name]!
          : undefined
      if (check === undefined) return fail(`${where}.${name}`, "is no field of it")
      check(x, `${where}.${name}`, fail)
    }
  }

function fieldsOf(value: unknown, where: string, fail: Fail): readonly (readonly [string, unknown])[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(where, "is not an object")
  return Object.entries(value)
}

/** Every field of a type that may be left out: one that is forgotten here is an error of types. */
type Optional<T, Required extends keyof T = never> = Readonly<Record<Exclude<keyof T, Required>, Check>>

const folding = fields({}, {
  vector: whole,
  accumulators: whole,
  group: whole,
  chunk: whole,
  stages: whole,
  peelTail: truth,
  innerUnroll: whole,
  run: whole,
} satisfies Optional<ReductionTile>)
const filled = fields({}, { perThread: whole, vector: whole })
const staged = fields({ tile: table(filled) }, {
  pad: fromZero,
  interleave: text,
  packed: truth,
  fold: folding,
} satisfies Optional<StagedTile, "tile">)
const axis = fields({ block: extent }, { perThread: whole, vector: whole } satisfies Optional<AxisTile, "block">)
const store = fields({ tile: table(axis), reduce: table(folding) }, {
  raster: list(text),
  staged: table(staged),
  computeWith: fields({ store: fromZero, axes: table(text) }),
} satisfies Optional<StoreSchedule, "tile" | "reduce">)
const schedule = fields({ threads: whole, stores: list(store), locals: table(folding) }, {
  subgroup: whole,
} satisfies Optional<Schedule, "threads" | "stores" | "locals">)

/** One kernel of a record. */
export const checkKernel: Check = fields({
  axes: list(text),
  schedule,
  microseconds: time,
  heuristicMicroseconds: time,
})
