/**
 * What a file's metadata say, as values of the types that are asked for.
 *
 *     qwen3.block_count = u32 28        fields.count("block_count")                      28
 *     … = f32 9.99999997e-7             fields.number("attention.layer_norm_rms_epsilon") 0.000001, which has the same float32
 */
import { printable, WeftError } from "../../errors.js"
import type { Value } from "./parse.js"

export interface Fields {
  readonly architecture: string
  /** For messages. */
  readonly file: string
  /** A key of the architecture (`block_count`), or one of the file with its first dot (`.general.name`). */
  value(key: string): Value | undefined
  text(key: string): string | undefined
  flag(key: string): boolean | undefined
  /** A whole number from 0 on; where a file has one for each layer, and they are one. */
  count(key: string): number | undefined
  number(key: string): number | undefined
  /** @throws WeftError `checkpoint/metadata` when it is not there */
  needed(key: string): number
  /** @throws always, WeftError `checkpoint/metadata` */
  refuse(key: string, problem: string, hint?: string): never
}

const damaged = "the file is damaged or was not converted as llama.cpp does it; convert the model anew"

export function fieldsOf(file: string, metadata: ReadonlyMap<string, Value>): Fields {
  const fail = (problem: string, hint = damaged): never => {
    throw new WeftError("checkpoint/metadata", `${printable(file)}: ${problem}`, { hint })
  }
  const architecture = metadata.get("general.architecture")
  if (typeof architecture !== "string")
    return fail("general.architecture is missing", "this is no model; a file of weights says what it is of")
  const named = (key: string) => (key.startsWith(".") ? key.slice(1) : `${architecture}.${key}`)
  const refuse: Fields["refuse"] = (key, problem, hint) => fail(`${printable(named(key))} ${problem}`, hint)
  const value = (key: string) => metadata.get(named(key))
  const typed =
    <T>(what: string, take: (found: Value) => T | undefined) =>
    (key: string): T | undefined => {
      const found = value(key)
      return found === undefined ? undefined : (take(found) ?? refuse(key, `is ${shown(found)}; it is ${what}`))
    }
  const count = typed("a whole number, the same for all layers", countOf)
  return {
    architecture,
    file,
    value,
    text: typed("a text", (found) => (typeof found === "string" ? found : undefined)),
    flag: typed("true or false", (found) => (typeof found === "boolean" ? found : undefined)),
    count,
    number: typed("a number", (found) =>
      typeof found === "number" && Number.isFinite(found) ? shortest(found) : undefined,
    ),
    needed: (key) => count(key) ?? refuse(key, "is missing"),
    refuse,
  }
}

function countOf(found: Value): number | undefined {
  if (!Array.isArray(found)) {
    return typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? found : undefined
  }
  const counts = new Set(found.map((item) => (Array.isArray(item) ? undefined : countOf(item))))
  return counts.size === 1 ? [...counts][0] : undefined
}

/** The shortest decimal with the same float32: files hold 1e-6 as that, and configs as it is written. */
export function shortest(x: number): number {
  if (Math.fround(x) !== x) return x
  for (let digits = 1; digits < 9; digits++) {
    const near = Number(x.toPrecision(digits))
    if (Math.fround(near) === x) return near
  }
  return x
}

const shown = (value: Value): string => {
  if (Array.isArray(value)) return `a list of ${value.length}`
  return typeof value === "string" ? printable(value) : String(value)
}
