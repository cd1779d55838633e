/**
 * What tuning found for one device: schedules by the structure of kernels. `weft tune` writes such records, compiling takes from them.
 *
 *   { "format": 3, "target": "wasm", "device": "wasm-amd-epyc", "measured": "WebAssembly, 1 thread",
 *     "kernels": { "6d1c…": { "axes": ["seq", "out", "embed"], "schedule": { … }, "microseconds": 81.2, "heuristicMicroseconds": 103.7 } } }
 *
 * A record whose form is wrong is refused with the place. A schedule in it that `tile` does not accept (the compiler has changed since) is
 * passed over for the heuristic one, and the compilation says so.
 */
import { type ArtifactTarget, targetNames } from "../../../runtime/artifact.js"
import { printable, WeftError } from "../../../runtime/errors.js"
import type { Schedule } from "../../ir/schedule.js"
import { checkKernel, type Fail } from "./check.js"

export const tunedFormat = 3

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
  /** Schedules for one target are no good on another. */
  readonly target: ArtifactTarget
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
  if (!targetNames.some((name) => name === value.target)) return fail("target", `is none of ${targetNames.join(", ")}`)
  for (const field of ["device", "measured"]) if (typeof value[field] !== "string") return fail(field, "is not a text")
  if (!isObject(value.kernels)) return fail("kernels", "is not an object")
  for (const [key, kernel] of Object.entries(value.kernels)) checkKernel(kernel, `kernels.${key}`, fail)
  return value as unknown as TunedRecord
}
