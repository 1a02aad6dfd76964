import 'reflect-metadata';
import { Module, type BeforeApplicationShutdown } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { OAuthClientModule, OAuthTokenService } from '../../lib/index.js';

// An application of its own process. It asks for a token, is told over IPC to close, and has to end by itself.

const { tokenEndpoint, shutdownGraceMs, hooks } = JSON.parse(process.argv[2]!) as {
  tokenEndpoint: string;
  shutdownGraceMs: number;
  hooks: boolean;
};
const clients = {
  buoy: { clientId: 'me', clientSecret: 's', tokenEndpoint, timeoutMs: 60_000, retry: { totalMs: 60_000 } },
};

@Module({ imports: [OAuthClientModule.forRoot({ clients, shutdownGraceMs })] })
class ApplicationModule implements BeforeApplicationShutdown {
  beforeApplicationShutdown(): void {
    tell('closing');
  }
}

function tell(outcome: string): void {
  process.send?.(outcome);
}

const app = await NestFactory.create(ApplicationModule, { logger: false });
if (hooks) app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
const tokens = app.get(OAuthTokenService);
const asked = tokens.getToken('buoy').then(
  () => tell('token'),
  (error: { code: string }) => tell(error.code),
);
process.once('message', () => {
  void (async () => {
    await app.close();
    await asked;
    await tokens.getToken('buoy').catch((error: { code: string }) => tell(`after it ${error.code}`));
    process.disconnect();
  })();
});
