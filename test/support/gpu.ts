/** @file A GpuDevice on SwiftShader under Dawn, in this process. */
import { constants } from "node:os";
import { join } from "node:path";
import { GpuDevice, type GpuOptions } from "../../hosts/gpu.ts";
import { nodeGpu } from "../../hosts/node-gpu.ts";
import { swiftshader, swiftshaderEnvironment } from "./swiftshader.ts";

/** RTLD_NODELETE: stays loaded though it is no module of Node's. */
const NODELETE = 0x1000;

let prepared: boolean | null = null;

/**
 * The software adapter, or null where there is none. Vulkan's loader is opened by its full path first: Dawn then finds it
 * by name, and no environment variable has to be set before the process starts.
 */
export async function softwareAdapter(): Promise<GPUAdapter | null> {
  prepared ??= prepare();
  if (!prepared) return null;
  try {
    return await (await nodeGpu()).requestAdapter({ forceFallbackAdapter: true });
  } catch {
    return null;
  }
}

function prepare(): boolean {
  const dir = swiftshader();
  if (!dir || process.platform !== "linux") return false;
  Object.assign(process.env, swiftshaderEnvironment(dir));
  try {
    process.dlopen({ exports: {} }, join(dir, "libvulkan.so.1"), constants.dlopen.RTLD_LAZY | NODELETE);
  } catch {
    // It says that this is not a module of Node's, and it is not.
  }
  return true;
}

/** @returns null where there is no adapter; tests then skip, saying so */
export async function softwareGpu(options: GpuOptions = {}): Promise<GpuDevice | null> {
  const found = await softwareAdapter();
  return found && GpuDevice.create(found, options);
}
