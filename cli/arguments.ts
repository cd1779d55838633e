/**
 * Command-line arguments, checked: each flag knows what it takes, and a wrong one is one line and exit code 2.
 *
 *     parse(["The fox", "--seed", "7"], ["model", "seed"])  →  { values: { seed: 7 }, words: ["The fox"] }
 */

import { parseArgs } from "node:util"
import { type ArtifactTarget, type Precision, precisionNames, targetNames } from "../runtime/artifact.js"
import { architectureOf, type Binary } from "../runtime/devices/cuda/compilers/architectures.js"
import type { Format } from "../runtime/weights/formats/format.js"
import { formatNamed } from "../runtime/weights/formats/named.js"
import { type Accesses, accessesNames, deviceNames } from "./device.js"
import { nearest } from "./nearest.js"
import { type Target, targets } from "./quantize/targets.js"
import { writablePath } from "./result.js"

/** A mistake in the arguments, told in one line. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

export interface Arguments {
  readonly model?: string
  readonly "model-file"?: string
  readonly device?: string
  readonly threads?: number
  readonly precision?: Precision
  readonly accesses?: Accesses
  readonly "experimental-gpu"?: boolean
  readonly context?: number
  readonly "max-tokens"?: number
  readonly temperature?: number
  readonly "top-k"?: number
  readonly "top-p"?: number
  readonly "min-p"?: number
  readonly seed?: number
  readonly stop?: readonly string[]
  readonly system?: string
  readonly "no-thinking"?: boolean
  readonly "drop-oldest"?: boolean
  readonly tokens?: readonly number[]
  readonly to?: Target
  readonly text?: string
  readonly "no-compare"?: boolean
  readonly out?: string
  readonly config?: string
  readonly checkpoint?: string
  readonly target?: ArtifactTarget
  readonly arch?: readonly Binary[]
  readonly seq?: number
  readonly past?: number
  readonly measured?: string
  readonly repetitions?: number
  readonly entries?: readonly string[]
  readonly kernels?: RegExp
  readonly budget?: number
  readonly tuned?: string
  readonly json?: boolean
  readonly "ignore-eos"?: boolean
  readonly "no-cache"?: boolean
  readonly "random-weights"?: boolean
  readonly weights?: Format
  readonly "first-token"?: boolean
  readonly profile?: boolean
  readonly watch?: boolean
  readonly help?: boolean
}
export type Flag = keyof Arguments

/** How a value is read, undefined when it cannot be, and what the flag takes. */
export type Reader = readonly [read: (text: string) => unknown, takes: string]
type Read = Reader[0]

/** Flags without a value. */
export const switches: readonly Flag[] = [
  "json",
  "ignore-eos",
  "no-thinking",
  "drop-oldest",
  "no-cache",
  "no-compare",
  "random-weights",
  "first-token",
  "profile",
  "experimental-gpu",
  "watch",
  "help",
]
const text: Read = (value) => value
const number: Read = (value) => (value.trim() === "" || !Number.isFinite(Number(value)) ? undefined : Number(value))
const whole: Read = (value) => (/^\d+$/.test(value) && Number.isSafeInteger(Number(value)) ? Number(value) : undefined)
const pattern: Read = (value) => {
  try {
    return new RegExp(value)
  } catch {
    return undefined
  }
}
const ids: Read = (value) =>
  /^\s*\d+(\s*,\s*\d+)*\s*$/.test(value) ? value.split(",").map((id) => Number(id)) : undefined

/** sm_90a is a binary, compute_90 text for the driver, which nvcc calls so. */
const architectures: Read = (value) => {
  const found = value.split(",").map((name): Binary => {
    const arch = name.trim().replace(/^compute_/, "sm_")
    return { arch, kind: arch === name.trim() ? "cubin" : "ptx" }
  })
  return found.every(({ arch }) => architectureOf(arch) !== undefined) ? found : undefined
}

/** How the value of each flag is read, and what it is when it cannot be. */
const readers: Readonly<Partial<Record<Flag, Reader>>> = {
  model: [text, "a folder or a name"],
  "model-file": [text, "a TypeScript file"],
  device: [(value) => deviceNames.find((name) => name === value), deviceNames.join(", ")],
  threads: [whole, "a whole number"],
  precision: [(value) => precisionNames.find((name) => name === value), precisionNames.join(", ")],
  accesses: [(value) => accessesNames.find((name) => name === value), accessesNames.join(", ")],
  context: [whole, "a whole number"],
  "max-tokens": [whole, "a whole number"],
  temperature: [number, "a number"],
  "top-k": [whole, "a whole number"],
  "top-p": [number, "a number"],
  "min-p": [number, "a number"],
  seed: [whole, "a whole number"],
  stop: [text, "a text"],
  system: [text, "a text"],
  weights: [formatNamed, "a format of weights, such as q4_k, q8_0, int4-g128 or fp8-128x128"],
  tokens: [ids, "token ids with commas between them, such as 5,17,3"],
  to: [(value) => targets.find((name) => name === value), targets.join(", ")],
  text: [text, "a file"],
  out: [writablePath, "a file"],
  config: [text, "a file"],
  checkpoint: [text, "a folder or a name"],
  target: [(value) => targetNames.find((name) => name === value), targetNames.join(", ")],
  arch: [architectures, "architectures with commas between them, such as sm_90a,sm_80 or compute_80 for PTX"],
  seq: [whole, "a whole number"],
  past: [whole, "a whole number"],
  measured: [text, "a file"],
  repetitions: [whole, "a whole number"],
  entries: [(value) => value.split(","), "names of entries with commas between them, such as prefill,step"],
  kernels: [pattern, "a regular expression"],
  tuned: [text, "a file"],
  budget: [number, "a number of seconds"],
}

/**
 * Reads `args`, of which only `allowed` flags may stand; `own` are flags that this command reads in its own way.
 *
 * @throws UsageError, and WeftError `cli/out` for a file that cannot be written
 */
export function parse(
  args: readonly string[],
  allowed: readonly Flag[],
  own: Readonly<Partial<Record<Flag, Reader>>> = {},
): { values: Arguments; words: readonly string[] } {
  const options = Object.fromEntries(
    [...allowed, "help" as const].map((flag) => [
      flag,
      { type: switches.includes(flag) ? "boolean" : "string", multiple: flag === "stop" } as const,
    ]),
  )
  const { values, positionals } = parsed(
    () => parseArgs({ args: [...args], options, allowPositionals: true }),
    Object.keys(options),
  )
  const read = Object.entries(values).map(([flag, value]) => [flag, checkedValue(flag as Flag, value, own)] as const)
  const found: Arguments = Object.fromEntries(read)
  refuseUnheard(found)
  return { values: found, words: positionals }
}

/** What is said of another device than the one that is named. */
function refuseUnheard({ device = "auto", threads, "experimental-gpu": experimental }: Arguments): void {
  if (threads !== undefined && device !== "auto" && device !== "wasm")
    throw new UsageError("--threads goes with --device wasm")
  if (experimental === true && device !== "auto" && device !== "webgpu")
    throw new UsageError("--experimental-gpu goes with --device webgpu")
}

function checkedValue(flag: Flag, value: unknown, own: Readonly<Partial<Record<Flag, Reader>>>): unknown {
  const reader = own[flag] ?? readers[flag]
  if (reader === undefined || Array.isArray(value)) return value
  const [read, takes] = reader
  const found = read(String(value))
  if (found === undefined) throw new UsageError(`--${flag} takes ${takes}, not ${JSON.stringify(value)}`)
  return found
}

/** Node's own words for an unknown flag, with the one that was meant, or a missing value, without its advice on shells. */
function parsed<T>(read: () => T, flags: readonly string[]): T {
  try {
    return read()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const dashed = /^Option '(.*)' argument is ambiguous/.exec(message)
    if (dashed !== null)
      throw new UsageError(`${dashed[1]} is followed by a flag; write ${dashed[1]}=-1 for a value with a dash`)
    const [, unknown] = /^Unknown option '--([^']*)'/.exec(message) ?? []
    const meant = unknown === undefined ? undefined : nearest(unknown, flags)
    const told = message.split(/\.\s|\n/)[0]!.replace(/\.$/, "")
    throw new UsageError(meant === undefined ? told : `${told}; did you mean '--${meant}'?`)
  }
}
