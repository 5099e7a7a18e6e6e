@echo off
rem Collects from this host into the folder that this script lies in. README.txt says what to do.
"%~dp0bin\windows-x86_64\fieldseal-agent.exe" kit --kit "%~dp0." %*
set code=%errorlevel%
if "%~1"=="" pause
exit /b %code%
