/** The fault of a kernel on this machine's card, as `reportOfChild` reads it: `node --import …/support/native.mjs fault-process.ts`. */
import { createCudaDevice } from "../../runtime/devices/cuda/device.js"
import { faultReport } from "./fault.js"

console.log(JSON.stringify(await faultReport(createCudaDevice)))
