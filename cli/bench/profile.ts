/**
 * weft bench --profile: where the time of a step goes, kernel by kernel, by the device's own clock.
 *
 *     k12_t0     36 launches   18.90 µs each   680.4 µs   50.3 MB each   85.9 % of the ceiling   qwen3.ts:147
 *     …
 *     together  254 launches                  1102.0 µs
 *     overlap                                  -81.3 µs
 *     step                                    1020.7 µs
 *
 * Each launch is timed by itself, so that the sum is more than the step where launches start early; the last rows make up for that. Bytes are
 * what the loops of a launch read and write, each once.
 */
import type { Artifact } from "../../runtime/artifact.js"
import type { RecordingTimes } from "../../runtime/devices/device.js"
import { WeftError } from "../../runtime/errors.js"
import type { Session } from "../../runtime/session.js"

/** Runs of which the times are means. */
const runs = 20

export interface KernelTime {
  readonly name: string
  readonly launches: number
  /** Microseconds of all launches together. */
  readonly microseconds: number
  /** Of one launch; absent where it is not known. */
  readonly bytes?: number
  readonly shareOfReadCeiling?: number
  /** The place in the model's file. */
  readonly line?: string
}

export interface Profile {
  /** Tokens before the step. */
  readonly past: number
  readonly entries: readonly string[]
  /** The longest first. */
  readonly kernels: readonly KernelTime[]
  /** Of all launches, each by itself. */
  readonly launchesMicroseconds: number
  /** Of the step as it runs. */
  readonly stepMicroseconds: number
}

/** Bytes of one launch, by the kernel's number in the artifact. */
export type LaunchBytes = ReadonlyMap<number, number>

/** @throws WeftError `cli/bench` on a device that cannot time a launch */
export function checkProfile({ device }: Session): void {
  if (device.profile !== undefined) return
  throw new WeftError("cli/bench", `${device.description} has no clock for single launches, which --profile needs`, {
    hint: "--device cuda has one",
  })
}

export async function profileStep(
  session: Session,
  { past, bytes, ceiling }: { readonly past: number; readonly bytes: LaunchBytes; readonly ceiling: number },
): Promise<Profile> {
  checkProfile(session)
  const entries = ["step", "greedy"].filter((entry) => Object.hasOwn(session.artifact.entries, entry))
  session.begin()
  const times = await session.profile(entries, { past, seq: 1 }, runs)!
  session.begin()
  return { past, entries, ...tabulate(session.artifact, entries, times, bytes, ceiling) }
}

/** Launches of one kernel together. */
export function tabulate(
  artifact: Artifact,
  entries: readonly string[],
  { commands, whole }: RecordingTimes,
  bytes: LaunchBytes,
  ceiling: number,
): Omit<Profile, "past" | "entries"> {
  const launches = entries.flatMap((entry) => artifact.entries[entry]!.launches)
  const groups = new Map<number, { launches: number; microseconds: number }>()
  for (const [i, { kernel }] of launches.entries()) {
    const group = groups.get(kernel) ?? { launches: 0, microseconds: 0 }
    group.launches++
    group.microseconds += commands[i]!
    groups.set(kernel, group)
  }
  const kernels = [...groups].map(([number, group]): KernelTime => {
    const { name, span } = artifact.kernels[number]!
    const moved = bytes.get(number)
    const seconds = group.microseconds / 1e6
    return {
      name,
      ...group,
      ...(moved === undefined ? {} : { bytes: moved }),
      ...(moved === undefined || seconds === 0
        ? {}
        : { shareOfReadCeiling: (moved * group.launches) / seconds / ceiling }),
      ...(span === undefined ? {} : { line: `${span.file.replace(/^.*[\\/]/, "")}:${span.line}` }),
    }
  })
  return {
    kernels: kernels.sort((a, b) => b.microseconds - a.microseconds),
    launchesMicroseconds: commands.reduce((sum, time) => sum + time, 0),
    stepMicroseconds: whole,
  }
}

export function profileText({ past, kernels, launchesMicroseconds, stepMicroseconds }: Profile): string {
  const width = Math.max(...kernels.map((k) => k.name.length), "between launches".length) + 2
  const row = (name: string, launches: string, each: string, time: number, more = "") =>
    `${name.padEnd(width)}${launches.padStart(13)}${each.padStart(18)}${`${time.toFixed(1)} µs`.padStart(13)}${more}`.trimEnd()
  const lines = kernels.map((k) => {
    const moved = k.bytes === undefined ? "" : `${(k.bytes / 1e6).toFixed(2)} MB each`
    const share =
      k.shareOfReadCeiling === undefined ? "" : `${(100 * k.shareOfReadCeiling).toFixed(1)} % of the ceiling`
    const each = `${(k.microseconds / k.launches).toFixed(2)} µs each`
    return row(
      k.name,
      `${k.launches} launches`,
      each,
      k.microseconds,
      `${moved.padStart(18)}${share.padStart(24)}   ${k.line ?? ""}`,
    )
  })
  const count = kernels.reduce((n, k) => n + k.launches, 0)
  const rest = stepMicroseconds - launchesMicroseconds
  return [
    `a step after ${past} tokens, each launch by itself:`,
    ...lines,
    row("together", `${count} launches`, "", launchesMicroseconds),
    row(rest < 0 ? "overlap" : "between launches", "", "", rest),
    row("step", "", "", stepMicroseconds),
    "",
  ].join("\n")
}
