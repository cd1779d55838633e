/** The package that calls native libraries, loaded when a native library is: `koffi` is optional, and pages have none. */
import { WeftError } from "../../errors.js"

/** The part of koffi that is used here, as its documentation has it. */
export type Koffi = typeof import("koffi")

/** @throws WeftError `cuda/missing` */
export async function loadKoffi(): Promise<Koffi> {
  // A name in a variable, so that a bundler of a page leaves the import alone.
  const name = "koffi"
  try {
    const found = await import(/* @vite-ignore */ name)
    return found.default ?? found
  } catch (cause) {
    throw new WeftError("cuda/missing", "the package 'koffi' is not installed, which calls CUDA's libraries", {
      hint: "npm install koffi",
      cause,
    })
  }
}
