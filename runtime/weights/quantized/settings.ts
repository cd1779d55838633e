/**
 * `quantization_config` of a config.json, a field at a time: what is asked for is honoured, or refused with the field's name.
 *
 *     { "quant_method": "gptq", "bits": 3 }   →   "quantization_config.bits is 3; 2, 4 and 8 are read"
 */

import { printable, WeftError } from "../../errors.js"
import { hostText } from "../../host.js"

/** What a checkpoint says of how its weights were quantized, and who says it. */
export interface Settings {
  /** The checkpoint's folder, for people. */
  readonly folder: string
  /** `quantization_config`, and deeper where a field of it is an object. */
  readonly path: string
  readonly fields: Readonly<Record<string, unknown>>
}

const hint =
  "take another export of the model: Weft reads GGUF files, and folders of GPTQ, AWQ, FP8 and compressed-tensors"

/** @throws WeftError `checkpoint/quantization` */
export function refuse(folder: string, problem: string): never {
  throw new WeftError("checkpoint/quantization", `${printable(folder)}: ${problem}`, { hint })
}

/** Refuses the value of a field. */
export function refuseField({ folder, path, fields }: Settings, name: string, why: string): never {
  return refuse(folder, `${path}.${name} is ${hostText(fields[name])}; ${why}`)
}

/** A field that is one of some values, or `otherwise` where it is missing or null. Letters may be of either case. */
export function oneOf<const V extends string | number | boolean>(
  settings: Settings,
  name: string,
  known: readonly V[],
  otherwise?: V,
): V {
  const value = settings.fields[name] ?? otherwise
  const plain = typeof value === "string" ? value.toLowerCase() : value
  return (
    known.find((k) => k === plain) ??
    refuseField(settings, name, `${listed(known)} ${known.length > 1 ? "are" : "is"} read`)
  )
}

/** A field that counts something. */
export function countOf(settings: Settings, name: string, otherwise?: number): number {
  const value = settings.fields[name] ?? otherwise
  return Number.isSafeInteger(value) && (value as number) > 0
    ? (value as number)
    : refuseField(settings, name, "it has to be a positive integer")
}

/** Two counts, or undefined where the field is missing or null. */
export function pairOf(settings: Settings, name: string): readonly [number, number] | undefined {
  const value = settings.fields[name] ?? undefined
  if (value === undefined) return undefined
  const [rows, columns, ...others] = Array.isArray(value) ? value : []
  const isCount = (x: unknown) => Number.isSafeInteger(x) && (x as number) > 0
  if (isCount(rows) && isCount(columns) && others.length === 0) return [rows, columns]
  return refuseField(settings, name, "it has to be two positive integers")
}

/** Fields of which each asks for what is not computed, unless it is missing, null, false or empty. */
export function refuseUnlessEmpty(settings: Settings, names: readonly string[]): void {
  for (const name of names) {
    const value = settings.fields[name]
    const isEmpty =
      value === undefined ||
      value === null ||
      value === false ||
      (typeof value === "object" && Object.keys(value).length === 0)
    if (!isEmpty) refuseField(settings, name, "this is not computed")
  }
}

/** A field that is an object, as settings of its own. */
export function inside(settings: Settings, name: string): Settings {
  const fields = settings.fields[name]
  if (!isRecord(fields)) return refuseField(settings, name, "it has to be an object")
  return { ...settings, path: `${settings.path}.${name}`, fields }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

const listed = (values: readonly unknown[]): string => {
  const texts = values.map(hostText)
  return texts.length < 2 ? texts.join() : `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}`
}
