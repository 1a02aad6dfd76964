import 'reflect-metadata';
import { Session } from 'node:inspector/promises';
import type { HttpService } from '@nestjs/axios';
import { NestFactory } from '@nestjs/core';
import { lastValueFrom } from 'rxjs';
import { OAuthClientModule, getOAuthHttpToken } from '../../lib/index.js';
import { FakeAuthorizationServer } from '../../lib/testing.js';

class AppModule {}

const server = await FakeAuthorizationServer.start();
const api = {
  tokenEndpoint: server.tokenEndpoint,
  clientId: 'me',
  clientSecret: 'my secret',
  baseURL: server.apiURL,
};
const app = await NestFactory.createApplicationContext(
  { module: AppModule, imports: [OAuthClientModule.forRoot({ clients: { api } })] },
  { logger: false },
);
const http = app.get<HttpService>(getOAuthHttpToken('api'), { strict: false });

// Counted from here on: which functions run, and in which files.
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
const { status } = await lastValueFrom(http.get<unknown>('/x'));
const { result } = await session.post('Profiler.takePreciseCoverage');
const files = result
  .filter(
    ({ url, functions }) =>
      /oauth-compiled.*\/lib\/(core|http|axios|oauth|nest|options)\/[^/]+\.js$/.test(url) &&
      functions.some(({ ranges }) => (ranges[0]?.count ?? 0) > 0),
  )
  .map(({ url }) => url.replace(/^.*\/lib\//, '').replace(/\.js$/, ''));
process.send?.({ status, files });
await app.close();
await server.close();
process.disconnect();
