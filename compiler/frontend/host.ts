/**
 * What a program hands to `compile`, `load` and `loadProgram` and only Node knows: files and configs; options of any kind are read by
 * `runtime/host.ts`. Each function here returns what is asked for, or says what was given.
 *
 *     filePath(new URL("file:///models/tiny.ts"), "compile/file", "the model's file")   →   /models/tiny.ts
 *     filePath(3n, "compile/file", "the model's file")   →   WeftError compile/file: the model's file is 3n; a path is expected
 */
import { fileURLToPath } from "node:url"
import { type ErrorCode, printable, thrownText, WeftError } from "../../runtime/errors.js"
import { hostText, isPath } from "../../runtime/host.js"

/** A path, or the URL of a file. */
export function filePath(value: unknown, code: ErrorCode, what: string): string {
  if (isPath(value)) return value
  if (isUrl(value)) {
    try {
      return fileURLToPath(value.href)
    } catch (cause) {
      throw new WeftError(code, `${what} is ${printable(value.href)}: ${thrownText(cause)}`, { cause })
    }
  }
  throw new WeftError(code, `${what} is ${hostText(value)}; a path is expected`)
}

const isUrl = (value: unknown): value is URL =>
  typeof value === "object" && value !== null && typeof (value as Partial<URL>).href === "string"

/** Deeper than any config, and no deeper than what walks over one bears. */
const mostDepth = 64

/**
 * A config: what JSON can say, and so can be hashed, printed and kept. Objects and lists may be those of another realm.
 *
 * @throws WeftError `compile/config` naming the field
 */
export function configOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new WeftError("compile/config", `the config is ${hostText(value)}; the object of a config.json is expected`, {
      hint: "a program has none: give {}",
    })
  const refuse = (path: string, why: string): never => {
    throw new WeftError("compile/config", `${path === "" ? "the config" : printable(path).slice(1, -1)} ${why}`, {
      hint: "a config holds what a config.json can say",
    })
  }
  const visit = (part: unknown, path: string, depth: number): void => {
    if (part === null || ["string", "number", "boolean", "undefined"].includes(typeof part)) return
    if (typeof part !== "object") refuse(path, `is ${hostText(part)}`)
    if (depth > mostDepth) refuse(path.slice(0, 60), `lies more than ${mostDepth} levels deep`)
    for (const [name, inner] of Object.entries(part as object))
      visit(inner, path === "" ? name : `${path}.${name}`, depth + 1)
  }
  try {
    visit(value, "", 0)
  } catch (cause) {
    if (cause instanceof WeftError) throw cause
    throw new WeftError("compile/config", `the config cannot be read: ${thrownText(cause)}`, { cause })
  }
  return value as Readonly<Record<string, unknown>>
}

/**
 * Runs `body`; what it throws that is no WeftError becomes one. For the boundary of the package: what is expected has errors of its own.
 */
export async function typed<T>(code: ErrorCode, body: () => Promise<T>): Promise<T> {
  try {
    return await body()
  } catch (cause) {
    if (cause instanceof WeftError) throw cause
    if (cause instanceof RangeError && /call stack/.test(cause.message))
      throw new WeftError(
        "compile/too-deep",
        "something is nested too deeply to be read: hundreds of parentheses, or thousands of steps",
        {
          hint: "give parts of a long expression names with const, and repeat layers with call",
          cause,
        },
      )
    throw new WeftError(code, `an error that Weft does not foresee: ${thrownText(cause)}`, {
      hint: "see its cause; what was given is no fault of yours where its types hold",
      cause,
    })
  }
}
