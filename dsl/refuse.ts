/**
 * What a file defines (weights, states, inputs, programs, models) is checked where it is written: before any trace runs, by errors whose stack
 * begins at the author's line; the compiler makes a place of it.
 *
 *     weight("q", { kv: 0 })   →   model/definition: weight("q"): axis "kv" has extent 0; it is a whole number from 1 to 2147483647, at the line of this call
 */
import { WeftError } from "../runtime/errors.js"

export const largestExtent = 2 ** 31 - 1

export type Caller = (...args: never[]) => unknown

/** Throws with the stack of who called `caller`, so that the compiler shows the author's line and not the language's. */
export function refuse(caller: Caller, message: string): never {
  const error = new WeftError("model/definition", message)
  const { captureStackTrace } = Error as { captureStackTrace?: (target: object, above: Caller) => void }
  captureStackTrace?.(error, caller)
  throw error
}

/** A value as a message shows it, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value)
  if (typeof value === "function") return "a function"
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object"
  return typeof value === "bigint" ? `${value}n` : String(value)
}

export const isExtent = (value: unknown, least: number): value is number =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= largestExtent

/** An object that holds something by names; lists and functions are none. */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
