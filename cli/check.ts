/**
 * weft check: what compiling would report, as tsc prints it.
 *
 *     $ weft check models/tiny.ts | cat
 *     models/tiny.ts(4,21): error TS2345: Argument of type '"dim"' is not assignable to parameter of type '"embed"'.
 *
 * In a terminal each error has its line and a caret. Programs are compiled, models with their config too; without one a model is read and
 * imported, which finds errors of types and of scalar functions. With --watch the files are checked again whenever one of them changes.
 */
import { dirname, resolve } from "node:path"
import { WeftError } from "../runtime/errors.js"
import { openCheckpoint } from "../runtime/weights/folder.js"
import { type Arguments, parse, UsageError } from "./arguments.js"
import { weightsOf } from "./artifact.js"
import { defaultTarget, flagsOf } from "./commands.js"
import { checkpointFolder } from "./hub/pull.js"
import { say, write } from "./output.js"
import { readObject, type Subject } from "./subject.js"
import { watchFolders } from "./watch.js"

/** Returns 1 when there are errors, and 0 otherwise; with --watch, when it is interrupted. */
export async function check(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("check"))
  if (words.length === 0) throw new UsageError("a file is missing, such as weft check models/qwen3.ts")
  if (values.config !== undefined && values.checkpoint !== undefined)
    throw new UsageError("give --config or --checkpoint, not both")
  if (values.watch === true) return watchAll(words, values)
  const told = await errorTexts(words, values, pretty())
  await writeAll(told)
  if (pretty() && told.length > 0) await write(`${counted(told)}\n`)
  return told.length === 0 ? 0 : 1
}

const pretty = () => process.stdout.isTTY === true

const counted = ({ length }: readonly string[]) => `Found ${length} ${length === 1 ? "error" : "errors"}.`

async function writeAll(texts: readonly string[]): Promise<void> {
  for (const text of texts) await write(text)
}

/** What is wrong with the files, each error once: what several files import is wrong in one place. */
export async function errorTexts(
  files: readonly string[],
  values: Arguments,
  pretty: boolean,
): Promise<readonly string[]> {
  const told = new Set<string>()
  for (const file of files) for (const error of await errorsOf(file, values)) told.add(errorText(error, pretty))
  return [...told]
}

async function errorsOf(file: string, values: Arguments): Promise<readonly WeftError[]> {
  const compiler = await import("../compiler/internal.js")
  try {
    const { config, tensors } = await configOf(values)
    const options = tensors === undefined ? {} : { tensors }
    const complete = await compiler.checkFile(file, config, values.target ?? defaultTarget, options)
    if (!complete) say(`weft: ${file} is a model: it was read, but not traced, for that needs --config FILE.json`)
    return []
  } catch (error) {
    if (!(error instanceof WeftError)) throw error
    return error.mistakes
  }
}

async function configOf(values: Arguments): Promise<{
  readonly config: Subject["config"] | undefined
  readonly tensors?: Subject["tensors"]
}> {
  if (values.config !== undefined) return { config: await readObject(values.config) }
  if (values.checkpoint === undefined) return { config: undefined }
  const checkpoint = await openCheckpoint(await checkpointFolder(values.checkpoint))
  await checkpoint.close()
  return { config: checkpoint.config, tensors: (expected, names) => weightsOf(checkpoint, expected, names) }
}

/** As tsc prints an error: with the line and a caret for a terminal, on a line of its own for programs. */
export function errorText(error: WeftError, pretty: boolean): string {
  const { span, hint, reason, code } = error
  // TypeScript's own begin with their number.
  const said = /^TS\d+: /.test(reason) ? `error ${reason}` : `error ${code}: ${reason}`
  if (pretty) {
    const place = span === undefined ? "" : `${span.file}:${span.line}:${span.column} - `
    const plain = `${place}${reason}`
    const shown = error.message.startsWith(plain)
      ? `${place}${said}${error.message.slice(plain.length)}`
      : error.message
    return `${shown}\n\n`
  }
  const place = span === undefined ? "" : `${span.file}(${span.line},${span.column}): `
  return `${place}${said}\n${hint === undefined ? "" : `  hint: ${hint}\n`}`
}

/** Checks, waits for a change, and so on until it is interrupted. */
async function watchAll(files: readonly string[], values: Arguments): Promise<number> {
  const { checkedFiles } = await import("../compiler/internal.js")
  const interrupt = new AbortController()
  process.once("SIGINT", () => interrupt.abort())
  const time = () => new Date().toLocaleTimeString("en-GB")
  await write(`[${time()}] Checking …\n`)
  while (!interrupt.signal.aborted) {
    // Watched from before the check, so that no change is missed.
    const changed = watchFolders(foldersOf(files, values, checkedFiles), interrupt.signal)
    const told = await errorTexts(files, values, pretty())
    await writeAll(told)
    await write(`[${time()}] ${counted(told)} Watching for file changes.\n`)
    await changed
    if (!interrupt.signal.aborted) await write(`[${time()}] File change detected. Checking again …\n`)
  }
  return 130
}

/** The folders of what the files are made of; of a file that cannot be opened its own. */
function foldersOf(
  files: readonly string[],
  { config }: Arguments,
  sourcesOf: (file: string) => readonly string[],
): ReadonlySet<string> {
  const sources = files.flatMap((file) => {
    try {
      return [file, ...sourcesOf(file)]
    } catch (error) {
      if (error instanceof WeftError) return [file]
      throw error
    }
  })
  return new Set([...sources, ...(config === undefined ? [] : [config])].map((path) => dirname(resolve(path))))
}
