/**
 * Node itself loads the sources (`native-hooks.mjs`), given to each process of tests with `--import`.
 *
 * Vite's own runner reads every import from an object of getters, at each use: the compiler takes a quarter longer that way.
 */
import { register } from "node:module"
import { setFlagsFromString } from "node:v8"
import { isMainThread } from "node:worker_threads"

// Most of what tests run is run a few times: optimising it so soon takes longer than it saves.
setFlagsFromString("--interrupt-budget=540000")

// The workers of the WebAssembly device are plain JavaScript.
if (isMainThread) register("./native-hooks.mjs", import.meta.url)
