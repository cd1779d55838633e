/**
 * What tuning found for one device: schedules by the structure of kernels. `weft tune` writes such records, compiling takes from them.
 *
 *   { "format": 1, "device": "wasm-amd-epyc", "measured": "WebAssembly, 1 thread",
 *     "kernels": { "6d1c…": { "axes": ["seq", "out", "embed"], "schedule": { … }, "microseconds": 81.2, "heuristicMicroseconds": 103.7 } } }
 *
 * A record whose form is wrong is refused with the place. A schedule in it that `tile` does not accept (the compiler has changed since) is
 * passed over for the heuristic one, and the compilation says so.
 */
import { printable, WeftError } from "../../runtime/errors.js"
import type { Kernel } from "../ir/kernel.js"
import type { HeldTile, ReductionTile, Schedule, StoreSchedule } from "../ir/schedule.js"
import { structureOf } from "../passes/structure.js"
import { checkKernel, type Fail } from "./check.js"

export const tunedFormat = 1

export interface TunedKernel {
  /** The names that the schedule uses for the structure's axes, in their order; another kernel of this structure has its own. */
  readonly axes: readonly string[]
  readonly schedule: Schedule
  /** Of one launch, with this schedule and with the heuristic one, measured in turns. */
  readonly microseconds: number
  readonly heuristicMicroseconds: number
}

export interface TunedRecord {
  readonly format: typeof tunedFormat
  /** The name of the file without its ending: see cli/tuned.ts. */
  readonly device: string
  /** For people: the device's own description. */
  readonly measured: string
  readonly kernels: Readonly<Record<string, TunedKernel>>
}

/** @throws WeftError `tuned/record` */
export function checkTuned(value: unknown, place: string): TunedRecord {
  const fail: Fail = (where, why) => {
    throw new WeftError("tuned/record", `${printable(place)}: ${where} ${why}`, {
      hint: "write it again with weft tune, or remove it: schedules are then chosen by heuristics",
    })
  }
  const isObject = (x: unknown): x is Readonly<Record<string, unknown>> =>
    typeof x === "object" && x !== null && !Array.isArray(x)
  if (!isObject(value)) return fail("the record", "is not an object")
  if (value.format !== tunedFormat)
    return fail("format", `is ${JSON.stringify(value.format)}, this compiler reads ${tunedFormat}`)
  for (const field of ["device", "measured"]) if (typeof value[field] !== "string") return fail(field, "is not a text")
  if (!isObject(value.kernels)) return fail("kernels", "is not an object")
  for (const [key, kernel] of Object.entries(value.kernels)) checkKernel(kernel, `kernels.${key}`, fail)
  return value as unknown as TunedRecord
}

/** The schedule of a record for a kernel, in the kernel's own names. */
export function tunedSchedule(kernel: Kernel, record: TunedRecord): Schedule | undefined {
  const { key, axes } = structureOf(kernel)
  const found = Object.hasOwn(record.kernels, key) ? record.kernels[key] : undefined
  if (found === undefined || found.axes.length !== axes.length) return undefined
  const names = new Map(found.axes.map((name, i) => [name, axes[i]!]))
  return renamedAxes(found.schedule, (name) => names.get(name) ?? name)
}

function renamedAxes(schedule: Schedule, to: (name: string) => string): Schedule {
  const keys = <T>(given: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(given).map(([name, x]) => [to(name), x]))
  const folds = (given: Readonly<Record<string, ReductionTile>>) => keys(given)
  const held = (given: Readonly<Record<string, HeldTile>>) =>
    Object.fromEntries(Object.entries(given).map(([name, h]) => [name, { ...h, tile: keys(h.tile) }]))
  const store = (s: StoreSchedule): StoreSchedule => ({
    tile: keys(s.tile),
    reduce: folds(s.reduce),
    ...(s.held === undefined ? {} : { held: held(s.held) }),
    ...(s.with === undefined
      ? {}
      : {
          with: {
            store: s.with.store,
            axes: Object.fromEntries(Object.entries(s.with.axes).map(([mine, host]) => [to(mine), to(host)])),
          },
        }),
  })
  return { ...schedule, stores: schedule.stores.map(store), locals: folds(schedule.locals) }
}
