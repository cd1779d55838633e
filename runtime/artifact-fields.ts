/**
 * Reading what is not trusted: each function returns a part of the type that it is named after, or names the place and what stands there.
 *
 *     integer(kernel, 0, mostCount, "entries.step.launches[3].kernel")
 *     →  WeftError artifact/invalid: the artifact is not valid: entries.step.launches[3].kernel is -1; expected a whole number from 0 to …
 */
import { printable, WeftError } from "./errors.js"

export const mostBytes = 2 ** 48
export const mostCount = 2 ** 31 - 1

export type Fields = Readonly<Record<string, unknown>>

export function wrong(at: string, found: unknown, expected: string): never {
  const shown = typeof found === "number" ? String(found) : printable(typeof found === "string" ? found : typeof found)
  throw new WeftError("artifact/invalid", `the artifact is not valid: ${at} is ${shown}; expected ${expected}`, {
    hint: "the file is damaged or was changed by hand; compile the model again",
  })
}

export function record(value: unknown, at: string): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : wrong(at, value, "an object")
}
export function list(value: unknown, at: string): readonly unknown[] {
  return Array.isArray(value) ? value : wrong(at, value, "a list")
}
export function text(value: unknown, at: string): string {
  return typeof value === "string" ? value : wrong(at, value, "a text")
}
/** Base64 with its padding and nothing else; returns how many bytes it holds. */
export function base64(value: unknown, at: string): number {
  const given = text(value, at)
  const padding = given.endsWith("==") ? 2 : given.endsWith("=") ? 1 : 0
  const strange = /[^A-Za-z0-9+/]/.exec(given.slice(0, given.length - padding))
  if (strange !== null) wrong(at, strange[0], `base64, at character ${strange.index}`)
  if (given.length % 4 !== 0) wrong(at, `${given.length} characters`, "base64, four characters for each three bytes")
  return (given.length / 4) * 3 - padding
}
export function oneOf(value: unknown, values: readonly string[], at: string): void {
  if (typeof value !== "string" || !values.includes(value)) wrong(at, value, values.join(" | "))
}
export function integer(value: unknown, least: number, most: number, at: string): void {
  if (!(typeof value === "number" && Number.isInteger(value) && value >= least && value <= most))
    wrong(at, value, `a whole number from ${least} to ${most}`)
}
export function elements(value: unknown, at: string): number {
  let count = 1
  for (const extent of list(value, at)) {
    integer(extent, 0, mostCount, at)
    count *= extent as number
  }
  return count <= mostBytes ? count : wrong(at, count, `at most ${mostBytes} elements`)
}
export function within<T>(index: number, of: readonly T[], at: string): T {
  return of[index] ?? wrong(at, index, `less than ${of.length}`)
}
/** Parts with names of their own. */
export function named(parts: readonly unknown[], at: string, check: (part: Fields, at: string) => void): void {
  const names = new Set<string>()
  for (const [i, value] of parts.entries()) {
    const part = record(value, `${at}[${i}]`)
    const name = text(part.name, `${at}[${i}].name`)
    // Scratch memory has no user but its launches: its names are for people.
    if (names.has(name) && part.role !== "scratch") wrong(`${at}[${i}].name`, name, "a name that stands once")
    names.add(name)
    check(part, `${at}[${i}]`)
  }
}
