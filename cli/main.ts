#!/usr/bin/env node
/** The command line as a process: its flags, its streams, its exit code. */
import { setFlagsFromString } from "node:v8"
import { hasMultiplyAdd } from "../runtime/devices/wasm/module.js"
import { quietPipes } from "./output.js"
import { run } from "./run.js"

// Node 20 has fused multiply-adds of WebAssembly, but behind a flag. This process is ours; those of others that load models keep their flags.
if (!hasMultiplyAdd() && process.versions.node.startsWith("20.")) setFlagsFromString("--experimental-wasm-relaxed-simd")

quietPipes()
process.exitCode = await run(process.argv.slice(2))
