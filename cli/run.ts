/**
 * From the words of the command line to a command: the first one selects, `generate` otherwise; `--` ends the search for one.
 *
 *     weft "The fox said" --max-tokens 80        weft logits --tokens 5,17,3 --out logits.safetensors        weft -- bench
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { UsageError } from "./arguments.js"
import { type CommandName, commandNames } from "./commands.js"
import { generate } from "./generate.js"
import { commandHelp, meantCommand, overview } from "./help.js"
import { report, write } from "./output.js"
import { packageFolder } from "./package.js"

type Command = (args: readonly string[]) => Promise<number>

const loaders: Readonly<Record<CommandName, () => Promise<Command>>> = {
  generate: async () => generate,
  chat: async () => (await import("./chat.js")).chat,
  pull: async () => (await import("./pull.js")).pull,
  quantize: async () => (await import("./quantize/quantize.js")).quantize,
  logits: async () => (await import("./logits.js")).logits,
  check: async () => (await import("./check.js")).check,
  compile: async () => (await import("./compile.js")).compile,
  explain: async () => (await import("./explain.js")).explain,
  tune: async () => (await import("./tune.js")).tune,
  doctor: async () => (await import("./doctor/doctor.js")).doctor,
  bench: async () => (await import("./bench/bench.js")).bench,
}

/** Runs the command that `args` name; resolves to the exit code, when what went wrong has been told. */
export const run = (args: readonly string[]): Promise<number> => dispatch(args).catch(report)

async function dispatch(args: readonly string[]): Promise<number> {
  const flags = args.slice(0, args.indexOf("--") < 0 ? args.length : args.indexOf("--"))
  const [first, second] = args
  const command = commandNames.find((name) => name === first)
  if (flags.includes("--help") || flags.includes("-h") || first === "help") {
    const about = command ?? commandNames.find((name) => first === "help" && name === second)
    await write(about === undefined ? overview() : commandHelp(about))
    return 0
  }
  if (first === "--version" || first === "-v" || first === "version") {
    await write(`weft ${version()}\n`)
    return 0
  }
  if (command !== undefined) return (await loaders[command]())(args.slice(1))
  const meant = first === undefined ? undefined : meantCommand(first)
  if (meant !== undefined)
    throw new UsageError(
      `there is no command '${first}'; did you mean '${meant}'? A prompt follows --: weft -- ${first}`,
    )
  return generate(args)
}

const version = (): string => JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")).version
