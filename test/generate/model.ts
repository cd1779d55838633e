/**
 * The shipped checkpoint on a device, for the tests of this folder and of the command line.
 *
 * Artifacts come from the user's cache; they are keyed by the compiler's sources.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { chooseDevice, type DeviceName } from "../../cli/device.js"
import { type LoadedModel, load } from "../../cli/node.js"
import { WeftError } from "../../runtime/errors.js"
import { root } from "../support/goldens.js"

export const tales: string = join(root, "models", "tales")

export interface TalesCase {
  readonly prompt: string
  readonly prompt_ids: readonly number[]
  readonly greedy: readonly number[]
  readonly text: string
}
export const cases: readonly TalesCase[] = JSON.parse(readFileSync(join(tales, "golden.json"), "utf8")).cases

export const loadTales = (device: DeviceName = "wasm", threads = 1): Promise<LoadedModel> =>
  load(tales, { device, threads })

/** Whether the device is there; says so when not, and fails when WEFT_REQUIRE lists it. */
export async function present(name: DeviceName): Promise<boolean> {
  try {
    const { device } = await chooseDevice(name)
    device.dispose()
    return true
  } catch (error) {
    if ((process.env.WEFT_REQUIRE ?? "").split(",").includes(name)) throw error
    console.log(`${name}: skipped, ${error instanceof Error ? error.message : error}`)
    return false
  }
}

/** The code and the message with which a promise fails; anything but a WeftError fails the test. */
export async function refusal(action: PromiseLike<unknown> | (() => PromiseLike<unknown>)): Promise<string> {
  try {
    await (typeof action === "function" ? action() : action)
  } catch (error) {
    if (error instanceof WeftError) return `${error.code}: ${error.message}`
    throw error
  }
  throw new Error("nothing was refused")
}
