#!/usr/bin/env node
/**
 * The command line: the first word selects, `generate` otherwise; `--` ends the search for one.
 *
 *     weft "The fox said" --max-tokens 80        weft logits --tokens 5,17,3 --out logits.safetensors        weft -- bench
 */
import { setFlagsFromString } from "node:v8"
import { hasMultiplyAdd } from "../runtime/devices/wasm/module.js"
import { generate } from "./generate.js"
import { usage } from "./help.js"
import { quietPipes, report, write } from "./output.js"

type Command = (args: readonly string[]) => Promise<number>

const commands: Readonly<Record<string, () => Promise<Command>>> = {
  generate: async () => generate,
  logits: async () => (await import("./logits.js")).logits,
  compile: async () => (await import("./compile.js")).compile,
  explain: async () => (await import("./explain.js")).explain,
  tune: async () => (await import("./tune.js")).tune,
  bench: async () => (await import("./bench.js")).bench,
}

async function main(args: readonly string[]): Promise<number> {
  const flags = args.slice(0, args.indexOf("--") < 0 ? args.length : args.indexOf("--"))
  if (flags.includes("--help") || flags.includes("-h")) {
    await write(usage)
    return 0
  }
  const [first] = args
  if (first !== undefined && Object.hasOwn(commands, first)) return (await commands[first]!())(args.slice(1))
  return generate(args)
}

// Node 20 has fused multiply-adds of WebAssembly, but behind a flag. This process is ours; those of others that load models keep their flags.
if (!hasMultiplyAdd() && process.versions.node.startsWith("20.")) setFlagsFromString("--experimental-wasm-relaxed-simd")

quietPipes()
process.exitCode = await main(process.argv.slice(2)).catch(report)
