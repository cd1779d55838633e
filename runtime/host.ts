/**
 * Values that a host gives, whatever they are: a BigInt, null, an object of another realm, a getter that throws.
 *
 *     hostText(2n) → "2n"        hostText(revokedProxy) → "an object"        fromHost(code, what, () => options.seed) → the value, or a WeftError
 */
import { type ErrorCode, printable, thrownText, WeftError } from "./errors.js"

/** A value as a message shows it. Never throws, and never writes more than a line. */
export function hostText(value: unknown): string {
  if (typeof value === "string") return printable(value)
  if (typeof value === "bigint") return `${String(value).slice(0, 40)}n`
  if (typeof value !== "object" && typeof value !== "function") return String(value)
  if (typeof value === "function") return "a function"
  try {
    return printable(JSON.stringify(value) ?? "an object")
      .slice(1, -1)
      .replaceAll('\\"', '"')
  } catch {
    return "an object"
  }
}

/** What `read` gives; what it throws is the host's own and becomes the cause of a WeftError. */
export function fromHost<T>(code: ErrorCode, what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof WeftError) throw cause
    throw new WeftError(code, `${what}: ${thrownText(cause)}`, {
      hint: "give plain values: numbers, texts, arrays and objects of such",
      cause,
    })
  }
}

/** An object of options; none when left out. What has another name than those would not be heard, and is refused. */
export function optionsOf<Options extends object>(
  value: Options | undefined,
  code: ErrorCode,
  names: { readonly [Name in keyof Required<Options>]: true },
): Options {
  if (value === undefined) return {} as Options
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(names, name))
    if (unknown === undefined) return value
    throw new WeftError(code, `there is no option ${printable(unknown)}`, {
      hint: `the options are ${Object.keys(names).join(", ")}`,
    })
  }
  throw new WeftError(code, `the options are ${hostText(value)}; an object is expected`)
}

export function functionOf(value: unknown, code: ErrorCode, what: string): void {
  if (value !== undefined && typeof value !== "function")
    throw new WeftError(code, `${what} is ${hostText(value)}; it is a function`)
}

/** One of the names, or undefined. */
export function oneOfNames(value: unknown, names: readonly string[], code: ErrorCode, what: string): void {
  if (value !== undefined && !(typeof value === "string" && names.includes(value)))
    throw new WeftError(code, `there is no ${what} ${hostText(value)}`, { hint: `there are ${names.join(" and ")}` })
}

/** True, false or undefined. */
export function switchOf(value: unknown, code: ErrorCode, what: string): void {
  if (value !== undefined && typeof value !== "boolean")
    throw new WeftError(code, `${what} is ${hostText(value)}; it is true or false`)
}

/** A whole number from 1 to `most`, or undefined. */
export function countOf(value: unknown, most: number, code: ErrorCode, what: string): void {
  if (value !== undefined && !(Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most))
    throw new WeftError(code, `${what} is ${hostText(value)}; it is a whole number from 1 to ${most}`)
}

export const isPath = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && !value.includes("\0")

/** A path, false where `mayBeFalse`, or undefined. */
export function pathOption(value: unknown, code: ErrorCode, what: string, mayBeFalse: boolean): void {
  if (value !== undefined && !isPath(value) && !(value === false && mayBeFalse))
    throw new WeftError(code, `${what} is ${hostText(value)}; it is a path${mayBeFalse ? ", or false" : ""}`)
}

/** A host's signal, which may be of another realm or have nothing but `aborted`; what it throws is a WeftError. */
export function hostSignal(signal: AbortSignal): AbortSignal {
  const read = <T>(what: () => T): T => fromHost("generate/option", "the signal cannot be read", what)
  const hear =
    (method: "addEventListener" | "removeEventListener") => (type: "abort", listener: (event: Event) => void) =>
      read(() => (typeof signal[method] === "function" ? signal[method](type, listener) : undefined))
  const heard = {
    get aborted() {
      return read(() => signal.aborted === true)
    },
    addEventListener: hear("addEventListener"),
    removeEventListener: hear("removeEventListener"),
  }
  return heard as AbortSignal
}
