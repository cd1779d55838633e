/** How a tokenizer is refused, and how what stands in its files is shown. */

import { printable, WeftError } from "../errors.js"

export interface JsonObject {
  readonly [key: string]: unknown
}

/** @throws always, WeftError `tokenizer/invalid` */
export function invalid(file: string, problem: string, cause?: unknown): never {
  throw new WeftError("tokenizer/invalid", `${file} cannot be used: ${problem}`, {
    hint: "take the file as published with the checkpoint, or save it again with transformers",
    cause,
  })
}

/** @throws always, WeftError `tokenizer/unsupported` */
export function unsupported(found: string): never {
  throw new WeftError("tokenizer/unsupported", `tokenizer.json is of a kind that is not supported: ${found}`, {
    hint: "only byte-level BPE is supported; give token ids instead of text, or use a checkpoint with such a tokenizer",
  })
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** What stands in a file, without what is inside of lists and objects: a stranger may have nested them without end. */
export function shown(value: unknown): string {
  return printable(typeof value === "string" ? value : typeof value === "object" ? kindOf(value) : String(value))
}

export const kindOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : typeof value

export function messageOf(cause: unknown): string {
  return printable(cause instanceof Error ? cause.message : String(cause))
}
