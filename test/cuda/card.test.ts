/** On this machine's card, with its compiler: `npm run test:cuda`, which requires both. Without a card nothing is claimed here. */
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { createCudaDevice } from "../../runtime/devices/cuda/device.js"
import { available } from "../devices/conformance.js"
import { makeArtifact } from "./artifacts.js"
import { reportOfChild } from "./fault.js"
import { artifactNames } from "./names.js"
import { cardSuites } from "./suites.js"

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const faulted = () => reportOfChild(["--import", here("../support/native.mjs"), here("fault-process.ts")])

if (await available("cuda", createCudaDevice))
  await cardSuites({ open: createCudaDevice, artifactOf: makeArtifact, faulted })

test("what is carried to a card can be made anywhere", async () => {
  const { kernels, target } = await makeArtifact(artifactNames.at(-1)!)
  expect(target).toBe("cuda")
  expect(kernels.length).toBeGreaterThan(3)
  expect(kernels.every((k) => k.proven === true && k.symbol !== undefined)).toBe(true)
})
