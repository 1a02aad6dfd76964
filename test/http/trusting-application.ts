import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { OAuthClientModule, OAuthTokenService, type OAuthClientOptions } from '../../lib/index.js';

class AppModule {}

// An application of its own process, since the authorities that a process trusts are named when it starts.
const clients = JSON.parse(process.argv[2] ?? '{}') as Record<string, OAuthClientOptions>;
const app = await NestFactory.createApplicationContext(
  { module: AppModule, imports: [OAuthClientModule.forRoot({ clients })] },
  { logger: false },
);
const tokens = app.get(OAuthTokenService);
const outcomes: Record<string, string> = {};
for (const client of Object.keys(clients)) {
  outcomes[client] = await tokens.getToken(client).then(
    () => 'token',
    (error: { code: string }) => error.code,
  );
}
process.send?.(outcomes);
await app.close();
process.disconnect();
