import { ConfigModule } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { OAuthConfigurationError } from 'nestjs-oauth-client';
import { ImagingAccounts } from './imaging/imaging-accounts.js';
import { LiveModule } from './live/live.module.js';
import { servePage } from './live/serve-page.js';
import { CLINIC_ROUTES } from './partners/partner-routes.js';
import { startSandboxes, type Sandboxes } from './partners/start-sandboxes.js';

/** The running clinic. */
export interface Clinic {
  readonly app: NestExpressApplication;
  readonly url: string;
  readonly sandboxes: Sandboxes;
  close(): Promise<void>;
}

/**
 * Starts the sandboxes that are needed, then the back end on `PORT` (default 3000) of this machine only.
 *
 * @throws {Error} whose cause {@link explain} puts into a line; nothing is left running then.
 */
export async function startClinic(): Promise<Clinic> {
  // AppModule's ConfigModule reads .env; only then is it known which partners have real credentials
  await ConfigModule.envVariablesLoaded;
  const port = portOf(process.env['PORT']);
  const sandboxes = await startSandboxes(process.env);
  let app: NestExpressApplication | undefined;
  const close = async (): Promise<void> => {
    await app?.close();
    await Promise.all(Object.values(sandboxes).map((sandbox) => sandbox.close()));
  };
  try {
    // logs wait until the start has succeeded: a failed one is told in a line, not in Nest's stack trace
    app = await NestFactory.create<NestExpressApplication>(LiveModule.with(sandboxes), {
      abortOnError: false,
      autoFlushLogs: false,
      bufferLogs: true,
      // an open page must not keep it from stopping
      forceCloseConnections: true,
      logger: ['warn', 'error', 'fatal'],
    });
    const accounts = app.get(ImagingAccounts);
    for (const { clinic } of CLINIC_ROUTES) accounts.add(clinic, sandboxes.imaging.openAccount(clinic));
    app.enableShutdownHooks();
    servePage(app);
    await app.listen(port, '127.0.0.1');
    app.flushLogs();
    return { app, url: await app.getUrl(), sandboxes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Why the clinic cannot start: one line for each reason. */
export function explain(error: unknown): string {
  if (error instanceof OAuthConfigurationError) return error.problems.map(cannotStart).join('\n');
  const { code, port, message } = error as NodeJS.ErrnoException & { port?: number };
  if (code === 'EADDRINUSE') return cannotStart(`port ${port} is in use. Set PORT to a free one.`);
  return cannotStart(message);
}

function cannotStart(reason: string): string {
  return `The clinic cannot start: ${reason}`;
}

function portOf(value = ''): number {
  const port = value.trim() === '' ? 3000 : Number(value);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new Error('PORT must be a whole number from 0 to 65535.');
}
