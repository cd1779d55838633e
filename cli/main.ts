#!/usr/bin/env node
/**
 * The command line: the first word selects, `generate` otherwise; `--` ends the search for one.
 *
 *     weft "The fox said" --max-tokens 80        weft logits --tokens 5,17,3 --out logits.safetensors        weft -- bench
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { hasMultiplyAdd } from "../runtime/devices/wasm/module.js"
import { UsageError } from "./arguments.js"
import { type CommandName, commandNames } from "./commands.js"
import { generate } from "./generate.js"
import { commandHelp, meantCommand, overview } from "./help.js"
import { quietPipes, report, write } from "./output.js"
import { packageFolder } from "./package.js"

type Command = (args: readonly string[]) => Promise<number>

const loaders: Readonly<Record<CommandName, () => Promise<Command>>> = {
  generate: async () => generate,
  logits: async () => (await import("./logits.js")).logits,
  check: async () => (await import("./check.js")).check,
  compile: async () => (await import("./compile.js")).compile,
  explain: async () => (await import("./explain.js")).explain,
  tune: async () => (await import("./tune.js")).tune,
  bench: async () => (await import("./bench.js")).bench,
}

async function main(args: readonly string[]): Promise<number> {
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

// Node 20 has fused multiply-adds of WebAssembly, but behind a flag. This process is ours; those of others that load models keep their flags.
if (!hasMultiplyAdd() && process.versions.node.startsWith("20.")) setFlagsFromString("--experimental-wasm-relaxed-simd")

quietPipes()
process.exitCode = await main(process.argv.slice(2)).catch(report)
